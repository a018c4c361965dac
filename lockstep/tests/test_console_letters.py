"""The console's dead letters: the list and its groups, one letter, and replaying and discarding them."""

import json
import re
from collections.abc import Sequence
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone
from kit.operators import OPERATE, VIEW, Operator
from kit.queries import LARGE, make_many_rows, queries_of, scanned_tables
from project.blog import subscribers
from project.blog.models import Article, Note

from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.context import current_trace
from lockstep.console.models import Operation
from lockstep.console.reads.dead_letters import LetterFilter, groups, page_of_letters
from lockstep.models import DeadLetter, LoggedChange, Subscription
from lockstep.testing import deliver_all

pytestmark = [pytest.mark.extras, pytest.mark.django_db(transaction=True)]

SCRIPT = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.fixture
def operator() -> Operator:
    return Operator("olga", VIEW, OPERATE)


@pytest.fixture
def viewer() -> Operator:
    return Operator("vera", VIEW)


def bury(*titles: str, cause: str = "Rejected: 422", subscription: str = "blog.notify") -> list[DeadLetter]:
    """Articles that were delivered to all, each with a dead letter as if this subscription had refused it."""
    found = []
    for title in titles:
        article = Article.objects.create(title=title)
        change = LoggedChange.objects.get(model="blog.article", object_id=str(article.pk), kind="created")
        found.append(
            DeadLetter.objects.create(
                subscription_id=subscription, model=change.model, object_id=change.object_id, seq=change.seq,
                at=change.at, message_id=uuid4(), attempts=8, cause=cause, died=timezone.now(),
            )
        )  # fmt: skip
    deliver_all()
    subscribers.received.clear()
    return found


def outcomes(letters: Sequence[DeadLetter]) -> list[str | None]:
    found = DeadLetter.objects.in_bulk([letter.pk for letter in letters])
    return [found[letter.pk].outcome for letter in letters]


def sent() -> list[str]:
    return [change.after["title"] for change in subscribers.received["notify"]]


# --- Groups and filters ---


@pytest.mark.parametrize(
    ("causes", "group"),
    [
        (["no post 12 of 7", "no post 4711 of 8"], "no post … of …"),
        (["answered 503 at http://a.example/1?x=2", "answered 503 at https://b.example/"], "answered 503 at …"),
        (["id 0192b7a4-0000-7000-8000-000000000001", "id 0192b7a4-0000-7000-8000-00000000000F"], "id …"),
        (["Rejected: 422 (title 101)", "Rejected: 422 (title 102)"], "Rejected: 422 (title …)"),
        (["answered 503 after 300 s", "answered 503 after 200 s"], "answered 503 after … s"),
        (["connect 10.0.0.1:8080", "connect 10.0.0.2:80"], "connect …"),
    ],
)
def test_causes_that_differ_in_numbers_ids_and_addresses_are_one_group(causes: list[str], group: str):
    for cause in causes:
        bury("a", cause=cause)
    [found] = groups(LetterFilter("blog.notify")).rows
    assert (found.cause, found.letters, found.objects) == (group, 2, 2)


@pytest.mark.parametrize("cause", ["100% of a_b", r"a\b 1", "a … 2", "x" * 400, ""])
def test_the_letters_of_a_group_are_found_by_it(cause: str):
    bury("a", cause=cause)
    [group] = groups(LetterFilter("blog.notify")).rows
    found = page_of_letters(LetterFilter("blog.notify", group=group.cause), before=None, limit=10)
    assert len(found.rows) == 1


def test_statuses_of_http_are_different_groups(viewer: Operator):
    causes = (
        "Rejected: 422",
        "Rejected: 404",
        "RetryLater: answered 503",
        "Refused: It refused (400 bad).",
        "HTTP 500",
    )
    for cause in causes:
        bury("a", cause=cause)
    assert {group.cause for group in groups(LetterFilter()).rows} == set(causes)
    page = viewer.see("dead-letters/")
    assert "Rejected: 404" in page and "blog.notify" in page


def test_groups_are_of_the_newest_letters_and_say_so(viewer: Operator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lockstep.console.reads.dead_letters.MAX_GROUPED", 2)
    bury("a", "b", "c")
    found = groups(LetterFilter("blog.notify"))
    assert (found.letters, found.is_cut) == (2, True)
    assert "there are more" in viewer.see("dead-letters/", subscription="blog.notify")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "ab"),
        ({"subscription": "blog.notify"}, "a"),
        ({"cause": "FULL"}, "a"),
        ({"cause": "100%"}, ""),
        ({"model": "blog.Article"}, "ab"),
        ({"model": "blog.note"}, ""),
        ({"group": "the disk is full at …"}, "a"),
        ({"group": "the disk is full at 12"}, ""),
        ({"group": "…"}, ""),
        ({"outcome": "replayed"}, ""),
        ({"since": "2000-01-01T00:00"}, "ab"),
        ({"until": "2000-01-01T00:00"}, ""),
    ],
)
def test_the_list_is_filtered(query: dict[str, str], expected: str, viewer: Operator):
    [a] = bury("a", cause="the disk is full at 12")
    [b] = bury("b", cause="a mistake", subscription="blog.titles")
    page = viewer.see("dead-letters/", **query)
    for title, letter in (("a", a), ("b", b)):
        assert (f"/console/dead-letters/{letter.pk}/" in page) == (title in expected), title


def test_a_filter_by_object_and_an_invalid_one(viewer: Operator):
    a, b = bury("a", "b")
    page = viewer.see("dead-letters/", object_id=b.object_id)
    assert f"/{b.pk}/" in page and f"/{a.pk}/" not in page
    assert "The filter is not valid." in viewer.see("dead-letters/", since="yesterday")
    assert "The filter is not valid." in viewer.see("dead-letters/", subscription="\0")


def test_the_name_of_a_family_stands_for_its_members(operator: Operator):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO lockstep_subscription (name, kind, follows) VALUES ('webhook:1', 'event', '{}')")
    [member], [other] = bury("a", subscription="webhook:1"), bury("b")
    page = operator.see("dead-letters/", subscription="webhook")
    assert f"/{member.pk}/" in page and f"/{other.pk}/" not in page and "webhook:1: 1" in page
    refused = operator.see("dead-letters/replay/", subscription="webhook")
    assert 'name="key"' not in refused and outcomes([member]) == [None]


@pytest.mark.parametrize("query", [{}, {"subscription": "blog.notify"}])
def test_the_list_is_paged_newest_first(query: dict[str, str], viewer: Operator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lockstep.console.views.dead_letters.LISTED", 2)
    letters = bury("a", "b", "c")
    page = viewer.see("dead-letters/", **query)
    assert [f"/{letter.pk}/" in page for letter in letters] == [False, True, True]
    assert f"before={letters[1].pk}" in page
    older = viewer.see("dead-letters/", before=str(letters[1].pk), **query)
    assert [f"/{letter.pk}/" in older for letter in letters] == [True, False, False]


def test_a_list_that_is_read_in_part_says_so_and_continues(viewer: Operator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lockstep.console.reads.dead_letters.MAX_SCANNED", 2)
    rare, *others = bury("a", "b", "c")
    DeadLetter.objects.filter(pk=rare.pk).update(cause="rare")
    page = viewer.see("dead-letters/", subscription="blog.notify", cause="rare")
    assert "None among the 2 letters that were read." in page and f"before={others[0].pk}" in page
    assert f"/{rare.pk}/" in viewer.see(
        "dead-letters/", subscription="blog.notify", cause="rare", before=str(others[0].pk)
    )


# --- One letter ---


def test_a_letter_shows_its_change_its_cause_and_what_waits_behind_it(viewer: Operator):
    article = Article.objects.create(title="before", body="the same")
    Article.objects.filter(pk=article.pk).update(title="after")
    deliver_all(strict=True)
    change = LoggedChange.objects.get(object_id=str(article.pk), model="blog.article", kind="updated")
    [letter] = bury("other")
    DeadLetter.objects.filter(pk=letter.pk).update(object_id=change.object_id, seq=change.seq, at=change.at)
    Subscription.objects.filter(pk="blog.notify").update(state="paused", reason="", paused="")
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH lane AS (INSERT INTO lockstep_lane (subscription_id, model, object_id, failure, cause, attempts)"
            " VALUES ('blog.notify', 'blog.article', %s, 'failed', 'RetryLater: 503', 3) RETURNING id)"
            " INSERT INTO lockstep_delivery (lane_id, seq, at) SELECT id, %s, now() FROM lane",
            [change.object_id, change.seq + 1000],
        )
    page = viewer.see(f"dead-letters/{letter.pk}/")
    page_in_one = re.sub(r"\s*<", "<", page)
    assert "before</bdi></del>" in page_in_one and "after</bdi></ins>" in page_in_one
    assert "the same</bdi></del>" not in page_in_one
    assert "Rejected: 422" in page and "8 attempts" in page
    assert "The last attempt failed: RetryLater: 503 (3 attempts)" in page and "after this one" in page


def test_a_letter_names_who_wrote_its_change_and_leads_to_the_request(operator: Operator):
    token = current_trace.set("a&b")
    with attributed_transaction(actor=f"user:{operator.person.pk}"):
        Article.objects.create(title="a")
    current_trace.reset(token)
    change = LoggedChange.objects.get(trace="a&b")
    [letter] = bury("b")
    DeadLetter.objects.filter(pk=letter.pk).update(seq=change.seq, at=change.at)
    page = operator.see(f"dead-letters/{letter.pk}/")
    assert "<bdi>olga</bdi>" in page and "changes/?trace=a%26b" in page


def test_a_list_without_letters_says_whether_there_are_others(viewer: Operator):
    assert "No dead letters: nothing was given up." in viewer.see("dead-letters/")
    assert "No letter matches." in viewer.see("dead-letters/", cause="rare")


def test_a_letter_whose_change_is_gone_can_only_be_discarded(operator: Operator):
    [letter] = bury("a")
    DeadLetter.objects.filter(pk=letter.pk).update(seq=10**12)
    assert "no longer in the log, so it cannot be replayed" in operator.see(f"dead-letters/{letter.pk}/")
    page = operator.see("dead-letters/replay/", subscription="blog.notify", letters=str(letter.pk))
    assert "No longer in the log: 1 change." in page and 'name="key"' not in page


def test_recorded_attempts_are_shown_with_what_the_remote_answered(viewer: Operator):
    [letter] = bury("a")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO lockstep_attempt (subscription_id, message_id, model, object_id, kind, seq, at, number, began,"
            " seconds, failure, cause, receipt) SELECT subscription_id, message_id, model, object_id, 'created', seq,"
            " at, 3, now(), 0.25, 'refused', 'Rejected: 422', %s FROM lockstep_deadletter",
            [json.dumps({"status": 422, "body": SCRIPT})],
        )
    page = viewer.see(f"dead-letters/{letter.pk}/")
    assert "&quot;status&quot;: 422" in page and "250 ms" in page and SCRIPT not in page


# --- Replay and discard ---


def test_a_preview_sends_nothing_and_the_confirmation_does(operator: Operator):
    letters = bury("a", "b")
    page = operator.see("dead-letters/replay/", subscription="blog.notify")
    assert "2 changes of 2 objects will be sent again, with the same message ids" in page
    assert outcomes(letters) == [None, None]
    assert operator.confirm("dead-letters/replay/", page).status_code == 302
    assert outcomes(letters) == ["replayed", "replayed"]
    deliver_all(strict=True)
    assert sorted(sent()) == ["a", "b"]


def test_a_group_is_replayed_and_no_other(operator: Operator):
    group = bury("a", "b", cause="no post 12")
    others = bury("c", cause="no page 12")
    page = operator.see("dead-letters/replay/", subscription="blog.notify", group="no post …")
    operator.confirm("dead-letters/replay/", page)
    assert outcomes([*group, *others]) == ["replayed", "replayed", None]


def test_chosen_letters_are_replayed_and_no_others(operator: Operator):
    a, b, c = bury("a", "b", "c")
    page = operator.preview("dead-letters/replay/", subscription="blog.notify", letters=[str(a.pk), str(c.pk)])
    operator.confirm("dead-letters/replay/", page)
    assert outcomes([a, b, c]) == ["replayed", None, "replayed"]


def test_letters_that_die_after_the_preview_are_not_touched(operator: Operator):
    before = bury("a")
    page = operator.see("dead-letters/replay/", subscription="blog.notify")
    after = bury("b")
    operator.confirm("dead-letters/replay/", page)
    assert outcomes([*before, *after]) == ["replayed", None]


def test_a_confirmation_without_letters_replays_nothing(operator: Operator):
    letters = bury("a")
    operator.post("dead-letters/replay/", subscription="blog.notify")
    assert outcomes(letters) == [None]


def test_letters_of_another_subscription_are_not_replayed(operator: Operator):
    [letter] = bury("a")
    operator.post("dead-letters/replay/", subscription="blog.titles", letters=str(letter.pk))
    assert outcomes([letter]) == [None]


def test_a_confirmation_that_is_sent_twice_replays_once(operator: Operator):
    bury("a")
    page = operator.see("dead-letters/replay/", subscription="blog.notify")
    for _ in range(2):
        assert operator.confirm("dead-letters/replay/", page).status_code == 302
    deliver_all(strict=True)
    assert sent() == ["a"] and Operation.objects.count() == 1


def test_of_many_letters_the_oldest_are_replayed_and_the_page_says_so(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("lockstep.console.reads.dead_letters.MAX_CHOSEN", 2)
    letters = bury("a", "b", "c")
    page = operator.see("dead-letters/replay/", subscription="blog.notify")
    assert "More letters may match" in page and "at most 2 are taken at once" in page
    operator.confirm("dead-letters/replay/", page)
    assert outcomes(letters) == ["replayed", "replayed", None]
    assert "More letters may match" not in operator.see("dead-letters/replay/", subscription="blog.notify")


def test_letters_that_cannot_be_sent_do_not_hide_the_ones_after_them(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("lockstep.console.reads.dead_letters.MAX_CHOSEN", 2)
    letters = bury("a", "b", "c")
    DeadLetter.objects.filter(pk__in=[letter.pk for letter in letters[:2]]).update(seq=10**12)
    page = operator.see("dead-letters/replay/", subscription="blog.notify")
    assert 'name="key"' not in page and f"after={letters[1].pk}" in page
    page = operator.see("dead-letters/replay/", subscription="blog.notify", after=letters[1].pk)
    operator.confirm("dead-letters/replay/", page)
    assert outcomes(letters) == [None, None, "replayed"]


def test_a_choice_that_reads_a_part_of_the_letters_goes_on(operator: Operator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lockstep.console.reads.dead_letters.MAX_SCANNED", 2)
    *others, rare = [*bury("a", "b"), *bury("c", cause="rare")]
    page = operator.see("dead-letters/replay/", subscription="blog.notify", cause="rare")
    assert 'name="key"' not in page and "cause=rare" in page and f"after={others[1].pk}" in page
    assert 'name="key"' in operator.see(
        "dead-letters/replay/", subscription="blog.notify", cause="rare", after=others[1].pk
    )
    assert outcomes([rare]) == [None]


def test_more_letters_than_are_taken_at_once_are_refused(operator: Operator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lockstep.console.reads.dead_letters.MAX_CHOSEN", 1)
    letters = bury("a", "b")
    chosen = " ".join(str(letter.pk) for letter in letters)
    refused = operator.post("dead-letters/replay/", subscription="blog.notify", letters=chosen)
    assert refused.status_code == 400 and outcomes(letters) == [None, None]


def test_the_outcome_of_a_replay_is_shown(operator: Operator):
    letters = bury("a", "b")
    Subscription.objects.filter(pk="blog.notify").update(state="paused", reason="later", paused="later")
    page = operator.see("dead-letters/replay/", subscription="blog.notify")
    done = operator.confirm("dead-letters/replay/", page)
    listed = operator.client.get(done["Location"]).content.decode()
    assert "Replaying 2 changes of 2 objects." in listed and "2 letters of one replay" in listed
    assert "2 wait in lanes again" in listed
    assert "It waits in its object&#x27;s lane and is not delivered yet." in operator.see(
        f"dead-letters/{letters[0].pk}/"
    )
    operator.do("subscriptions/blog.notify/resume/")
    deliver_all(strict=True)
    listed = operator.client.get(done["Location"]).content.decode()
    assert "0 wait in lanes again" in listed and "0 failed, and are dead letters again." in listed
    assert "2 are neither: delivered, or discarded since." in listed and "verdict good" in listed
    assert "it was delivered" in operator.see(f"dead-letters/{letters[0].pk}/")


def test_a_replayed_letter_that_fails_again_says_so(operator: Operator):
    Note.objects.create(slug="a", text="never")
    deliver_all()
    [letter] = DeadLetter.objects.filter(subscription="notes")
    page = operator.see("dead-letters/replay/", subscription="notes")
    done = operator.confirm("dead-letters/replay/", page)
    deliver_all()
    listed = operator.client.get(done["Location"]).content.decode()
    assert "1 failed, and is a dead letter again: " in listed and "0 are neither" in listed and "verdict bad" in listed
    found = operator.see(f"dead-letters/{letter.pk}/")
    [again] = DeadLetter.objects.filter(subscription="notes", outcome=None)
    assert "It failed again and is another dead letter." in found and f"/dead-letters/{again.pk}/" in found


def test_discarded_letters_are_kept_with_the_reason(operator: Operator):
    a, b = bury("a", "b")
    path = "dead-letters/discard/"
    values = {"subscription": "blog.notify", "letters": str(a.pk)}
    assert "This field is required" not in operator.see(path, **values)
    assert "This field is required" not in operator.preview(path, **values)
    assert "This field is required" in operator.preview(path, reason="", **values)
    page = operator.preview(path, reason="an old test", **values)
    assert "1 letter of 1 object will be discarded" in page and outcomes([a]) == [None]
    operator.confirm(path, page)
    assert outcomes([a, b]) == ["discarded", None]
    assert DeadLetter.objects.get(pk=a.pk).reason == "an old test"
    found = operator.see(f"dead-letters/{a.pk}/")
    assert "an old test" in found and "Replay…" not in found
    assert "an old test" in operator.see("dead-letters/", outcome="discarded")


def test_operations_are_recorded_with_the_filter_and_the_letters(operator: Operator):
    a, _ = bury("a", "b")
    page = operator.see("dead-letters/replay/", subscription="blog.notify", object_id=a.object_id)
    operator.confirm("dead-letters/replay/", page)
    [operation] = Operation.objects.all()
    assert (operation.kind, operation.subscription) == ("replay", "blog.notify")
    assert operation.parameters == {
        "subscription": "blog.notify", "object_id": a.object_id, "letters": 1, "ids": [str(a.pk)],
    }  # fmt: skip
    [change] = LoggedChange.objects.filter(model="lockstep_console.operation")
    assert change.actor == f"user:{operator.person.pk}"
    listed = operator.see("operations/")
    assert f"object id: {a.object_id}" in listed and "letters: 1" in listed and f"ids: {a.pk}" in listed


def test_a_replay_for_a_disabled_subscription_is_refused(operator: Operator):
    letters = bury("a")
    page = operator.see("dead-letters/replay/", subscription="blog.notify")
    Subscription.objects.filter(pk="blog.notify").update(state="disabled")
    refused = operator.confirm("dead-letters/replay/", page)
    assert "blog.notify is disabled" in operator.client.get(refused["Location"]).content.decode().lower()
    again = operator.see("dead-letters/replay/", subscription="blog.notify")
    assert "is disabled: it gets nothing" in again and 'name="key"' not in again
    assert outcomes(letters) == [None] and not Operation.objects.exists()


# --- Rights ---

ACTIONS = ["dead-letters/replay/", "dead-letters/discard/"]


@pytest.mark.parametrize("path", ["dead-letters/", "dead-letters/{letter}/", *ACTIONS])
def test_pages_are_for_staff_with_the_permission(path: str, operator: Operator, viewer: Operator):
    [letter] = bury("a")
    query = {"subscription": "blog.notify"}
    path = path.format(letter=letter.pk)
    assert operator.get(path, **query).status_code == 200
    assert viewer.get(path, **query).status_code == (403 if path in ACTIONS else 200)
    assert Operator("none").get(path, **query).status_code == 403
    refused = Operator("user", VIEW, OPERATE, is_staff=False).get(path, **query)
    assert refused.status_code == 403 and "/admin/login/?next=%2F" in refused.content.decode()


@pytest.mark.parametrize("path", ACTIONS)
def test_a_viewer_and_a_request_without_the_csrf_token_change_nothing(path: str, viewer: Operator):
    [letter] = bury("a")
    values = {"subscription": "blog.notify", "letters": str(letter.pk), "reason": "a"}
    assert viewer.post(path, **values).status_code == 403
    assert Operator("olga", VIEW, OPERATE, checks_csrf=True).post(path, **values).status_code == 403
    assert outcomes([letter]) == [None]
    page = viewer.see("dead-letters/", subscription="blog.notify") + viewer.see(f"dead-letters/{letter.pk}/")
    assert "dead-letters/replay/" not in page and "dead-letters/discard/" not in page


def test_stored_texts_are_escaped(operator: Operator):
    [letter] = bury(SCRIPT, cause=SCRIPT)
    DeadLetter.objects.filter(pk=letter.pk).update(cause=SCRIPT)
    pages = [
        operator.see("dead-letters/"),
        operator.see("dead-letters/", subscription="blog.notify", group=SCRIPT),
        operator.see("dead-letters/", subscription=SCRIPT, model=SCRIPT, object_id=SCRIPT, cause=SCRIPT),
        operator.see(f"dead-letters/{letter.pk}/"),
        operator.preview("dead-letters/discard/", subscription="blog.notify", reason=SCRIPT),
        operator.see("dead-letters/replay/", subscription=SCRIPT, group=SCRIPT),
    ]
    for number, page in enumerate(pages):
        assert SCRIPT not in page and ESCAPED.lower() in page.lower(), number
    operator.confirm("dead-letters/discard/", pages[4])
    for page in (operator.see("dead-letters/", outcome="discarded"), operator.see(f"dead-letters/{letter.pk}/")):
        assert SCRIPT not in page and ESCAPED in page


# --- Many rows ---


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("dead-letters/", {}),
        ("dead-letters/", {"subscription": "blog.notify"}),
        ("dead-letters/", {"subscription": "blog.notify", "cause": "never found"}),
        ("dead-letters/", {"subscription": "blog.notify", "outcome": "replayed"}),
        ("dead-letters/{letter}/", {}),
        ("dead-letters/replay/", {"subscription": "blog.notify"}),
        ("dead-letters/replay/", {"subscription": "blog.notify", "group": "Rejected: 422"}),
        ("dead-letters/discard/", {"subscription": "blog.notify"}),
    ],
)
def test_many_rows_need_no_more_queries_and_no_scan_of_a_table(path: str, query: dict[str, str], operator: Operator):
    [letter] = bury("a")
    path = path.format(letter=letter.pk)
    few = len(queries_of(operator, path, query))
    make_many_rows()
    queries = queries_of(operator, path, query)
    assert len(queries) <= few  # a full page does not ask where a scan ended
    assert not scanned_tables(queries) & LARGE
