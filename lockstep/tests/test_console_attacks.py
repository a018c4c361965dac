"""What attackers, two tabs and an ailing database do to the console: it holds, and says what is so."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from html import unescape
from threading import Thread
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.db import OperationalError, ProgrammingError, connection
from django.urls import reverse
from django.utils import timezone
from kit.operators import OPERATE, VIEW, Operator, confirmed_values
from project.blog import subscribers
from project.blog.models import Article

from lockstep.console.links import address
from lockstep.console.models import Operation
from lockstep.console.reads import overview as reads
from lockstep.console.reads.actors import read_actors
from lockstep.console.reads.overview import PAGE, Depth
from lockstep.console.shared import MAX_SECONDS, Shared
from lockstep.console.verdict import judge
from lockstep.console.views.overview import shown
from lockstep.console.views.subscriptions import PauseView
from lockstep.console.words import plain
from lockstep.delivery import operations
from lockstep.models import DeadLetter, Delivery, Lane, LoggedChange, Subscription, WorkerHeartbeat
from lockstep.testing import deliver_all

pytestmark = [pytest.mark.extras, pytest.mark.django_db(transaction=True)]

PUSH, NOTIFY = "blog.push", "blog.notify"  # a state and an event subscription
REVERSED = "\u202egnp.exe"
LONG = f"{REVERSED}\x1b" + "a" * 100_000
MAX_PAGE, MAX_ERROR = 40_000, 64_000  # bytes
LISTS = ("", "subscriptions/", "dead-letters/", "changes/", "workers/", "operations/")
ACTIONS = (
    f"subscriptions/{NOTIFY}/pause/",
    f"subscriptions/{NOTIFY}/rewind/",
    "dead-letters/replay/",
    "dead-letters/discard/",
)


@pytest.fixture(autouse=True)
def nothing_shared() -> Iterator[None]:
    shown.forget()
    yield
    shown.forget()


@pytest.fixture
def operator() -> Operator:
    return Operator("olga", VIEW, OPERATE)


def bury(article: Article, subscription: str, *, cause: str = "refused", count: int = 1) -> list[DeadLetter]:
    change = LoggedChange.objects.filter(model="blog.article", object_id=str(article.pk)).order_by("seq")[0]
    return [
        DeadLetter.objects.create(
            subscription_id=subscription, model=change.model, object_id=change.object_id, seq=change.seq, at=change.at,
            message_id=uuid4(), attempts=1, cause=cause,
        )
        for _ in range(count)
    ]  # fmt: skip


# --- Stored texts ---


def store_everywhere(text: str) -> DeadLetter:
    """The text in every column that pages show."""
    article = Article.objects.create(title=text, body=text)
    Subscription.objects.filter(pk=NOTIFY).update(silent_since=timezone.now(), silent_cause=text)
    Subscription.objects.filter(pk=PUSH).update(state="paused", reason=text, paused=text)
    lane = {"subscription_id": NOTIFY, "model": "blog.article", "object_id": str(article.pk)}
    made = Lane.objects.create(**lane, failure="failed", cause=text, next_at=timezone.now() + timedelta(hours=1))
    Delivery.objects.create(lane_id=made.pk, seq=1, at=timezone.now())
    WorkerHeartbeat.objects.create(id=uuid4(), seen=timezone.now(), complaint=text)
    kept = {"subscription": NOTIFY, "parameters": {"reason": text}, "outcome": text}
    Operation.objects.create(actor=text[:200], kind=text[:50], **kept)
    return bury(article, NOTIFY, cause=text)[0]


def test_a_stored_text_makes_no_page_large_and_reorders_nothing(operator: Operator):
    letter = store_everywhere(LONG)
    article = letter.object_id
    pages = [*LISTS, *ACTIONS, f"dead-letters/{letter.pk}/", f"objects/blog.article/{article}/"]
    pages += [f"subscriptions/{name}/{page}" for name in (NOTIFY, PUSH) for page in ("", "pause/")]
    for page in pages:
        response = operator.get(page, subscription=NOTIFY, reason="x")
        text = response.content.decode()
        assert (response.status_code, len(text) < MAX_PAGE) == (200, True), (page, len(text))
        bare = text.replace("<bdi", "\n<bdi").split("\n")
        assert not [line for line in bare if "\u202e" in line and not line.startswith("<bdi")], page
        assert "\x1b" not in "".join(line for line in bare if not line.startswith("<bdi")), page


def test_hidden_characters_are_named_and_long_texts_cut():
    assert plain("a\u202eb\u2066\x00\u200b") == "a[U+202E]b[U+2066][U+0000][U+200B]"
    assert plain("two\nlines\tand a tab é 漢 ع") == "two\nlines\tand a tab é 漢 ع"
    assert plain("a" * 301) == "a" * 300 + "… (301 characters)"


@pytest.mark.parametrize("object_id", ["..", ".", "a/../b", "../../admin/logout", "a\nb", ""])
def test_no_link_leads_to_another_page_than_it_names(object_id: str):
    assert address("object", "blog.article", object_id) == ""


@pytest.mark.parametrize("object_id", ["a/b", "a..b", "…", "x.y/..z"])
def test_other_keys_have_their_page(object_id: str):
    assert address("object", "blog.article", object_id) == reverse(
        "lockstep_console:object", args=["blog.article", object_id]
    )


def test_a_page_that_stops_being_live_stays_itself(operator: Operator):
    Subscription.objects.create(name="a?b#c%20", kind="event", follows=["blog.article.*"])
    page = operator.see(f"subscriptions/{quote('a?b#c%20')}/")
    [stopped] = re.findall(r'This page is live. <a href="([^"]+)"', page)
    assert "This page stands still." in operator.client.get(stopped).content.decode()


@pytest.mark.parametrize("actor", ["user:" + "9" * 30, "user:-1", "user:1.5", "user: 1", "user:" + "a" * 100_000])
def test_an_actor_that_no_column_takes_is_no_error(actor: str, operator: Operator):
    Operation.objects.create(actor=actor, kind="pause", outcome="done")
    assert operator.get("operations/").status_code == 200
    assert operator.get("changes/").status_code == 200


def test_actors_are_read_without_their_other_columns_and_by_their_exact_text(
    operator: Operator, django_assert_num_queries: Any
):
    key = operator.person.pk
    texts = [f"user:{key}", f"user:0{key}", f"user: {key}"]
    with django_assert_num_queries(1) as queries:
        found = read_actors(texts)
    assert [found[text].name for text in texts] == ["olga", *texts[1:]]
    assert "password" not in queries.captured_queries[0]["sql"]


# --- Parameters ---

JUNK = ["\0", "9" * 40, "-1", "1e400", "NaN", "[]", "<x'\"", REVERSED]
JUNK += ["9999-12-31T23:59", "0001-01-01T00:00", "0000-00-00", "x" * 900, "x" * 60_000]
PARAMETERS = {
    "subscriptions/": ("contains", "state", "family", "after"),
    "dead-letters/": ("subscription", "model", "object_id", "cause", "since", "until", "group", "outcome", "settled"),
    "changes/": ("model", "kind", "object_id", "actor", "origin", "trace", "before"),
    "operations/": ("before", "subscription"),
    f"subscriptions/{NOTIFY}/pause/": ("reason",),
    f"subscriptions/{NOTIFY}/rewind/": ("since", "everything"),
    "dead-letters/replay/": ("subscription", "letters", "after", "since", "group"),
    "dead-letters/discard/": ("subscription", "letters", "after", "reason"),
}


@pytest.mark.parametrize("page", PARAMETERS)
def test_no_parameter_is_an_error_of_the_server_or_comes_back_in_full(page: str, operator: Operator):
    Article.objects.create(title="a")
    for name in PARAMETERS[page]:
        for value in JUNK:
            asked: list[Any] = [operator.get(page, **{name: value})]
            if page in ACTIONS:
                asked.append(operator.client.post(f"/console/{page}", {name: value, "step": "preview"}))
            for response in asked:
                assert response.status_code < 500, (name, value[:40])
                assert len(response.content) < MAX_ERROR, (name, value[:40])


@pytest.mark.parametrize("page", ["subscriptions/{}/", "subscriptions/{}/pause/", "objects/blog.article/{}/"])
def test_a_long_address_does_not_come_back_in_full(page: str, operator: Operator):
    response = operator.get(page.format("x" * 30_000))
    assert (response.status_code, len(response.content) < 10_000) == (404, True)


def test_the_first_number_is_a_cursor_like_others(operator: Operator):
    Article.objects.create(title="a")
    assert "The log has no changes before that." in operator.see("changes/", before=0)


# --- Two tabs ---


def test_the_key_of_one_operation_does_not_confirm_another(operator: Operator):
    page = operator.preview(f"subscriptions/{NOTIFY}/pause/", reason="for now")
    assert operator.confirm(f"subscriptions/{NOTIFY}/pause/", page).status_code == 302
    used = confirmed_values(page)
    again = operator.client.post(f"/console/subscriptions/{NOTIFY}/pause/", used, follow=True)
    assert "Paused blog.notify: for now" in again.content.decode(), "the same form, sent twice, has one outcome"
    attempts: list[tuple[Operator, str, dict[str, str]]] = [
        (operator, f"subscriptions/{NOTIFY}/resume/", used),
        (operator, f"subscriptions/{NOTIFY}/pause/", used | {"reason": "another"}),
        (operator, f"subscriptions/{PUSH}/pause/", used),
        (Operator("other", VIEW, OPERATE), f"subscriptions/{NOTIFY}/pause/", used),
    ]
    for who, path, values in attempts:
        text = who.client.post(f"/console/{path}", values, follow=True).content.decode()
        assert "The form belongs to another operation" in text and "Paused" not in text.split("console-live")[0], path
    assert Operation.objects.count() == 1
    assert Subscription.objects.get(pk=NOTIFY).reason == "for now"
    assert Subscription.objects.get(pk=PUSH).state == "active"


def preview_and_outcome(operator: Operator, subscription: str) -> tuple[str, str]:
    page = operator.preview("dead-letters/replay/", subscription=subscription)
    return unescape(page), unescape(operator.do("dead-letters/replay/", subscription=subscription))


def test_the_preview_of_a_replay_counts_what_is_sent(operator: Operator):
    """A state subscription sends an object's latest state once, however many of its letters are replayed."""
    article = Article.objects.create(title="a")
    deliver_all()
    bury(article, PUSH, count=3)
    page, outcome = preview_and_outcome(operator, PUSH)
    assert "1 change of 1 object will be sent again" in page
    assert "Replaying 1 change of 1 object." in outcome


def test_the_preview_of_a_replay_does_not_count_what_waits_already(operator: Operator):
    first, second = Article.objects.create(title="a"), Article.objects.create(title="b")
    deliver_all()
    operations.pause(NOTIFY, reason="for now")
    bury(first, NOTIFY)
    operator.do("dead-letters/replay/", subscription=NOTIFY)
    bury(first, NOTIFY)
    bury(second, NOTIFY)
    page, outcome = preview_and_outcome(operator, NOTIFY)
    assert "1 change of 2 objects will be sent again" in page
    assert "Already in their lanes, and not added again: 1 change." in page
    assert "Replaying 1 change of 2 objects." in outcome
    bury(first, NOTIFY)
    page, outcome = preview_and_outcome(operator, NOTIFY)
    assert "The changes wait in their lanes already" in page and "will be sent again" not in page
    assert "The changes wait in their lanes already" in outcome and "Replaying 0" not in outcome
    assert not DeadLetter.objects.filter(outcome=None).exists()


def test_a_rewind_that_sends_nothing_cannot_be_confirmed(operator: Operator):
    Subscription.objects.create(name="deaf", kind="event", follows=["blog.nothing.*"])
    Article.objects.create(title="a")
    page = operator.preview("subscriptions/deaf/rewind/", everything="on")
    assert "It follows no change since then: nothing would be sent." in page and 'name="key"' not in page


# --- A right that ends between the preview and the confirmation ---

ENDS: dict[str, Callable[[Any], Any]] = {
    "deactivated": lambda user: setattr(user, "is_active", False),
    "no longer staff": lambda user: setattr(user, "is_staff", False),
    "no longer an operator": lambda user: user.user_permissions.clear(),
    "another password": lambda user: user.set_password("another"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_right_that_ends_after_the_preview_ends_the_operation(end: str, operator: Operator):
    page = operator.preview(f"subscriptions/{NOTIFY}/pause/", reason="for now")
    user = get_user_model().objects.get(pk=operator.person.pk)
    ENDS[end](user)
    user.save()
    refused = operator.confirm(f"subscriptions/{NOTIFY}/pause/", page)
    signs_in_anew = refused.status_code == 302 and refused["Location"].startswith("/admin/login/")
    assert signs_in_anew or refused.status_code == 403
    assert Subscription.objects.get(pk=NOTIFY).state == "active" and not Operation.objects.exists()


@pytest.mark.parametrize("end", ["another password", "signed out"])
def test_a_session_that_ends_while_the_form_is_read_ends_the_operation(
    end: str, operator: Operator, monkeypatch: pytest.MonkeyPatch
):
    page = operator.preview(f"subscriptions/{NOTIFY}/pause/", reason="for now")
    read = PauseView.make_form

    def reading(view: PauseView, *values: Any, **options: Any) -> Any:
        if end == "signed out":
            Session.objects.all().delete()
        else:
            user = get_user_model().objects.get(pk=operator.person.pk)
            user.set_password("another")
            user.save()
        return read(view, *values, **options)

    monkeypatch.setattr(PauseView, "make_form", reading)
    assert operator.confirm(f"subscriptions/{NOTIFY}/pause/", page).status_code == 403
    assert Subscription.objects.get(pk=NOTIFY).state == "active" and not Operation.objects.exists()


# --- An ailing database ---


def failing(error: Exception) -> Callable[..., None]:
    def execute(run: Any, sql: str, *others: Any) -> None:
        raise error

    return execute


def away() -> OperationalError:
    error = OperationalError("connection refused")
    error.__cause__ = psycopg.OperationalError("connection refused")
    return error


@pytest.mark.parametrize("page", [*LISTS, *ACTIONS, f"subscriptions/{NOTIFY}/"])
def test_a_page_without_a_database_says_so(page: str, operator: Operator):
    with connection.execute_wrapper(failing(away())):
        response = operator.get(page)
    assert (response.status_code, "does not answer" in response.content.decode()) == (503, True)
    assert response["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert response["Cache-Control"] == "no-store"


def test_an_operation_on_a_read_only_database_says_so(operator: Operator):
    page = operator.preview(f"subscriptions/{NOTIFY}/pause/", reason="for now")
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        try:
            assert operator.get("").status_code == 200
            refused = operator.confirm(f"subscriptions/{NOTIFY}/pause/", page)
        finally:
            cursor.execute("SET default_transaction_read_only = off")
    assert (refused.status_code, "The database is read-only for now." in refused.content.decode()) == (503, True)
    assert Subscription.objects.get(pk=NOTIFY).state == "active"


def test_a_bug_is_no_outage(operator: Operator):
    error = ProgrammingError("no such column")
    error.__cause__ = psycopg.errors.UndefinedColumn("no such column")
    with connection.execute_wrapper(failing(error)), pytest.raises(ProgrammingError):
        operator.get("")


# --- The verdict ---


def test_what_is_on_the_way_is_not_called_delivered(operator: Operator):
    WorkerHeartbeat.objects.create(id=uuid4(), seen=timezone.now(), complaint="")
    deliver_all()
    shown.forget()
    assert "Every change is delivered" in operator.see("")
    Article.objects.create(title="a")
    shown.forget()
    page = operator.see("")
    assert "Every change is delivered" not in page and "on the way, the oldest for" in page


def test_without_subscriptions_nothing_is_called_delivered(operator: Operator):
    WorkerHeartbeat.objects.create(id=uuid4(), seen=timezone.now(), complaint="")
    Subscription.objects.all().delete()
    page = operator.see("")
    assert "Every change is delivered" not in page
    assert "blog.push is declared in the code, and not in the database" in page and "Not in step." in page


def test_changes_behind_those_that_were_read_are_not_called_none():
    Subscription.objects.create(name="own", kind="event", follows=["blog.tag.*"])
    for title in "abc":
        Article.objects.create(title=title)
    [line] = [line for line in reads.read_lines(Depth(lanes=2, behind=2, names=2))[0] if line.name == "own"]
    assert (line.behind, line.is_exact) == (0, False)


def test_uncounted_subscriptions_are_mentioned(operator: Operator, monkeypatch: pytest.MonkeyPatch):
    shallow = Depth(lanes=10, behind=10, names=2)
    monkeypatch.setattr("lockstep.console.views.overview.read_overview", lambda: reads.read_overview(shallow))
    for name in ("webhook:1", "webhook:2", "webhook:3", "z"):
        Subscription.objects.create(name=name, kind="event", follows=["blog.article.*"])
        made = Lane.objects.create(subscription_id=name, model="blog.article", object_id="1")
        Delivery.objects.create(lane_id=made.pk, seq=1, at=timezone.now())
    page = operator.see("")
    assert f"{PAGE.names:,} or more subscriptions of families have waiting" in page and "others are not counted" in page
    found = {line.name: line.waiting for line in reads.read_lines(shallow)[0]}
    assert (found["webhook"], found["z"]) == (2, 1)  # whose name comes after the family's
    assert "or more" in page


def test_a_family_that_fails_or_is_late_is_a_remark():
    Subscription.objects.create(name="webhook:1", kind="event", follows=["blog.article.*"])
    made = Lane.objects.create(subscription_id="webhook:1", model="blog.article", object_id="1")
    Delivery.objects.create(lane_id=made.pk, seq=1, at=timezone.now() - timedelta(hours=2))
    assert [remark.text for remark in judge(reads.read_overview()).remarks] == [
        "webhook is late: 1 change waits, the oldest for 2 h 0 min."
    ]
    Lane.objects.update(failure="failed", cause="HTTP 500")
    assert [remark.text for remark in judge(reads.read_overview()).remarks] == [
        "1 object of webhook fails (HTTP 500). 1 change waits, the oldest for 2 h 0 min."
    ]


def test_a_worker_that_hangs_beside_one_that_works_is_a_remark():
    for complaint in ("", "the relay has not moved for 20 s"):
        WorkerHeartbeat.objects.create(id=uuid4(), seen=timezone.now(), complaint=complaint)
    verdict = judge(reads.read_overview())
    assert "1 worker hangs." in [remark.text for remark in verdict.remarks]


def test_a_shared_value_of_long_ago_is_not_given_while_another_is_read():
    clock, reads_of = [0.0], iter(["old", "new"])
    shared = Shared(lambda: next(reads_of), clock=lambda: clock[0])
    assert shared.get() == "old"
    for seconds, is_recent in ((10.0, True), (4.0 + MAX_SECONDS + 1, False)):
        clock[0] = seconds
        with shared._lock:  # another thread reads
            if is_recent:
                assert shared.get() == "old"
            else:
                assert waits(shared)


def waits(shared: Shared[str]) -> bool:
    """Whether `get` waits for the thread that reads."""
    thread = Thread(target=shared.get, daemon=True)
    thread.start()
    thread.join(0.2)
    return thread.is_alive()


def test_every_operation_is_in_the_log_with_its_actor(operator: Operator):
    article = Article.objects.create(title="a")
    deliver_all()
    operator.do(f"subscriptions/{NOTIFY}/pause/", reason="for now")
    operator.do(f"subscriptions/{NOTIFY}/resume/")
    operator.do(f"subscriptions/{NOTIFY}/rewind/", everything="on")
    deliver_all()
    bury(article, NOTIFY, count=1)
    operator.do("dead-letters/replay/", subscription=NOTIFY)
    bury(article, NOTIFY, count=1)
    operator.do("dead-letters/discard/", subscription=NOTIFY, reason="not wanted")
    logged = LoggedChange.objects.filter(model="lockstep_console.operation").order_by("seq")
    assert [(change.after["kind"], change.actor) for change in logged] == [
        (kind, f"user:{operator.person.pk}") for kind in ("pause", "resume", "rewind", "replay", "discard")
    ]
    page = operator.see("changes/", model="lockstep_console.operation")
    assert page.count("<bdi>olga</bdi>") == 5
    subscribers.received.clear()
