"""The console in a project of its own: who sees it, what it says, and that it records what operators do."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.contrib.messages import get_messages
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.checks import run_checks
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone
from kit.operators import person, signed_in
from kit.queries import used_indexes
from kit.waiting import WAIT_TIMEOUT, eventually
from project.blog.models import Article
from project.people.models import Person

from lockstep.console import recording
from lockstep.console.charts import line_chart
from lockstep.console.models import Operation, Sample
from lockstep.console.reads import samples
from lockstep.console.reads.actors import read_actors
from lockstep.console.reads.overview import LogSize, Overview, SubscriptionLine, read_lines
from lockstep.console.reads.samples import SampleRow
from lockstep.console.shared import Shared
from lockstep.console.templatetags.lockstep_console import measured
from lockstep.console.verdict import judge
from lockstep.console.views.base import ActionPreview, ActionView
from lockstep.console.views.overview import shown
from lockstep.console.words import duration, number, size
from lockstep.delivery import operations
from lockstep.delivery.periodic import registered_names
from lockstep.models import DeadLetter, Delivery, Lane, LoggedChange, Subscription, WorkerHeartbeat
from lockstep.page_policy import page_policy

pytestmark = [pytest.mark.extras, pytest.mark.django_db(transaction=True)]

PAGES = ("/console/", "/console/workers/", "/console/operations/", "/console/audit/", "/console/providers/")
ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
MANY_OPERATIONS = """
    INSERT INTO lockstep_console_operation (actor, kind, subscription, parameters, outcome)
    SELECT 'user:1', 'webhook-change', n::text, '{}', 'done' FROM generate_series(1, 5000) AS n;
    ANALYZE lockstep_console_operation
"""
NOW = datetime(2026, 11, 30, 12, 18, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_shared() -> Iterator[None]:
    shown.forget()
    with timezone.override(UTC):
        yield
    shown.forget()


@pytest.fixture
def operator() -> Client:
    return signed_in(person("operator", "view_subscription", "operate_subscription"))


# --- Access ---


@pytest.mark.parametrize("page", PAGES)
def test_a_page_sends_anonymous_clients_to_the_form_and_back(page: str):
    response = Client().get(f"{page}?live=off")
    back = f"{page.replace('/', '%2F')}%3Flive%3Doff"
    assert (response.status_code, response["Location"]) == (302, f"/admin/login/?next={back}")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_for_staff_with_the_permission_alone(page: str):
    assert signed_in(person("viewer", "view_subscription")).get(page).status_code == 200
    assert signed_in(person("other", "view_subscription", is_staff=False)).get(page).status_code == 403
    refused = signed_in(person("without", "change_subscription")).get(page)
    assert (refused.status_code, b"lockstep.view_subscription" in refused.content) == (403, True)
    assert b"console-sections" not in refused.content
    inactive = person("gone", "view_subscription")
    client = signed_in(inactive)
    Person.objects.filter(pk=inactive.pk).update(is_active=False)
    assert client.get(page).status_code == 302


def test_an_open_page_whose_session_has_ended_is_loaded_anew():
    response = Client().get("/console/", headers={"HX-Request": "true"})
    assert (response.status_code, response["HX-Refresh"]) == (403, "true")


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_a_page_is_read_only(operator: Client, method: str):
    assert getattr(operator, method)("/console/").status_code == 405


# --- Policy ---


@pytest.mark.parametrize("page", [*PAGES, "/console/operations/?before=none"])
def test_a_page_has_the_strictest_headers_and_nothing_inline(operator: Client, page: str):
    Article.objects.create(title="a")
    record_twice()
    response = operator.get(page)
    assert response["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert (response["X-Frame-Options"], response["Cache-Control"]) == ("DENY", "no-store")
    assert response["Referrer-Policy"] == "same-origin"
    text = response.content.decode()
    assert not re.search(r"\sstyle\s*=|<style|\son\w+\s*=|javascript:", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text)


def test_static_files_of_another_host_are_allowed(settings: Any):
    settings.STATIC_URL = "https://static.example.com/files/"
    policy = page_policy()
    for name in ("script-src 'self'", "style-src 'self'", "img-src 'self' data:"):
        assert f"{name} https://static.example.com;" in policy
    assert "connect-src 'self';" in policy


def test_a_live_page_can_be_stopped(operator: Client):
    text = operator.get("/console/?a=1").content.decode()
    assert 'hx-trigger="every 5s, seen"' in text and 'hx-get="/console/?a=1"' in text
    assert 'href="/console/?a=1&amp;live=off"' in text and "htmx" in text
    stopped = operator.get("/console/?a=1&live=off").content.decode()
    assert "hx-get" not in stopped and re.findall(r'<script src="([^"]*)', stopped) == ["/static/admin/js/theme.js"]
    assert 'href="/console/?a=1"' in stopped


# --- The state, as it is read ---


def lane(subscription: str, object_id: str, *, failure: str | None = None, cause: str | None = None) -> Lane:
    return Lane.objects.create(
        subscription_id=subscription, model="blog.article", object_id=object_id, failure=failure, cause=cause
    )


def letter(subscription: str, cause: str = "refused") -> DeadLetter:
    return DeadLetter.objects.create(
        subscription_id=subscription,
        model="blog.article",
        object_id="1",
        seq=1,
        at=timezone.now(),
        message_id=uuid4(),
        attempts=1,
        cause=cause,
    )


def line_of(name: str) -> SubscriptionLine:
    [found] = [line for line in read_lines()[0] if line.name == name]
    return found


def test_what_waits_is_counted_by_subscription():
    Subscription.objects.create(name="own", kind="event", follows=["blog.article.*"])
    Subscription.objects.create(name="deaf", kind="event", follows=["blog.note.*"])
    Article.objects.create(title="a")
    Article.objects.create(title="b")
    assert (line_of("own").behind, line_of("deaf").behind) == (2, 0)
    written = timezone.now() - timedelta(minutes=5)
    for object_id, failure in (("1", None), ("2", "retry")):
        made = lane("own", object_id, failure=failure, cause="HTTP 500" if failure else None)
        Delivery.objects.create(lane_id=made.pk, seq=int(object_id), at=written)
    letter("own")
    line = line_of("own")
    assert (line.waiting, line.objects, line.failing, line.cause, line.dead) == (2, 2, 1, "HTTP 500", 1)
    assert (line.undelivered, line.oldest, line.is_exact, line.is_declared) == (4, written, True, False)


def test_changes_of_writers_that_were_running_are_counted_too():
    """At a place there are those of later writers, and those of writers that had begun and not committed."""
    with psycopg.connect(os.environ["DATABASE_URL"], dbname=connection.settings_dict["NAME"]) as early:
        early.execute("INSERT INTO blog_tag (name) VALUES ('begins the transaction')")
        insert = "INSERT INTO blog_article (title, body, secret) VALUES ('early', '', '')"
        early.execute(insert)
        Subscription.objects.create(name="own", kind="event", follows=["blog.article.*"])
        Article.objects.create(title="later")
        assert line_of("own").behind == 1
        early.commit()
    [status] = [status for status in operations.status() if status.name == "own"]
    assert line_of("own").behind == status.behind == 2


def test_a_family_is_one_line():
    for number_of in range(5):
        Subscription.objects.create(name=f"webhook:{number_of}", kind="event", follows=["blog.article.*"])
        letter(f"webhook:{number_of}")
        Delivery.objects.create(lane_id=lane(f"webhook:{number_of}", "1").pk, seq=1, at=timezone.now())
    operations.pause("webhook:0", reason="for now")
    operations.disable("webhook:1", reason="too many failures")
    Subscription.objects.filter(name="webhook:2").update(silent_since=timezone.now(), silent_cause="no answer")
    Article.objects.create(title="a")
    line = line_of("webhook")
    assert (line.is_family, line.is_declared, line.members) == (True, True, 5)
    assert (line.paused, line.disabled, line.silent, line.dead, line.waiting, line.behind) == (1, 1, 1, 5, 4, 4)


def test_the_overview_takes_the_same_queries_however_much_there_is(operator: Client):
    operator.get("/console/")
    for page in PAGES:
        shown.forget()
        with CaptureQueriesContext(connection) as few:
            operator.get(page)
        for number_of in range(20):
            name = f"s{number_of}-{page}"
            Subscription.objects.create(name=name, kind="event", follows=["*"])
            Delivery.objects.create(lane_id=lane(name, "1", failure="retry", cause="x").pk, seq=1, at=timezone.now())
            letter(name)
            WorkerHeartbeat.objects.create(id=uuid4(), seen=timezone.now(), complaint="the relay has not moved")
            record(name)
        shown.forget()
        with CaptureQueriesContext(connection) as many:
            operator.get(page)
        assert len(few) == len(many) <= 25, page


# --- The verdict ---


def line_with(name: str = "own", **values: Any) -> SubscriptionLine:
    state = {"is_family": False, "members": 1, "paused": 0, "full": 0, "disabled": 0, "reason": "", "silent": 0}
    return SubscriptionLine(name, **(state | {"silent_since": None, "silent_cause": ""} | values))


def overview_with(*lines: SubscriptionLine, **values: Any) -> Overview:
    whole: dict[str, Any] = {
        "at": NOW,
        "lines": lines,
        "log": LogSize(1, 1, 1, 1, NOW),
        "worker_state": "ok",
        "workers": {"moving": 1, "hanging": 0, "silent": 0},
        "late_work": (),
        "stopped_mirrors": {},
    }
    return Overview(**(whole | values))


WAITS = {"waiting": 312, "oldest": NOW - timedelta(minutes=14)}


@pytest.mark.parametrize(
    ("overview", "state", "reasons"),
    [
        (overview_with(line_with(waiting=3, oldest=NOW)), "good", []),
        (
            overview_with(line_with(silent=1, silent_since=NOW.replace(minute=4), silent_cause="refused", **WAITS)),
            "bad",
            ["own has not answered since 12:04 UTC (refused). 312 changes wait, the oldest for 14 min."],
        ),
        (
            overview_with(line_with(paused=1, reason="for now", waiting=1, oldest=NOW)),
            "bad",
            ["own is paused (for now). 1 change waits, the oldest for less than a second."],
        ),
        (
            overview_with(line_with(full=1, reason="full", is_exact=False, **WAITS)),
            "bad",
            ["own is at its cap: it goes on once half is delivered. 312 or more changes wait, the oldest for 14 min."],
        ),
        (overview_with(line_with(disabled=1, reason="off")), "bad", ["own is disabled (off): it gets nothing."]),
        (
            overview_with(line_with(is_declared=False)),
            "bad",
            ["own is not declared in the code: nothing delivers it. Nothing waits."],
        ),
        (
            overview_with(line_with(failing=1, cause="HTTP 500", waiting=2, oldest=NOW - timedelta(hours=3))),
            "bad",
            ["1 object of own fails (HTTP 500). 2 changes wait, the oldest for 3 h 0 min."],
        ),
        (overview_with(line_with(dead=12)), "bad", ["own has 12 dead letters."]),
        (overview_with(line_with(dead=10_000)), "bad", ["own has 10,000 or more dead letters."]),
        (
            overview_with(line_with(waiting=2, oldest=NOW - timedelta(seconds=61))),
            "late",
            ["own is late: 2 changes wait, the oldest for 61 s."],
        ),
        (overview_with(worker_state="none is running"), "bad", ["No worker delivers: none is running."]),
        (overview_with(stopped_mirrors={"p": "too many"}), "bad", ["Mending p has stopped: too many."]),
        (overview_with(late_work=("a", "b")), "late", ["Periodic work is late: a, b."]),
    ],
)
def test_the_verdict_names_its_reason(overview: Overview, state: str, reasons: list[str]):
    verdict = judge(overview)
    assert (verdict.state, [reason.text for reason in verdict.reasons], verdict.remarks) == (state, reasons, ())


def test_a_family_is_a_remark_beside_the_verdict():
    family = line_with("webhook", is_family=True, members=9, silent=2, paused=1, full=3, dead=4, **WAITS)
    verdict = judge(overview_with(family))
    assert (verdict.state, verdict.reasons) == ("good", ())
    assert [remark.text for remark in verdict.remarks] == [
        "2 of 9 subscriptions of webhook do not answer.",
        "1 of 9 subscriptions of webhook is paused.",
        "3 of 9 subscriptions of webhook are at the cap.",
        "webhook is late: 312 changes wait, the oldest for 14 min.",
        "webhook has 4 dead letters.",
    ]


def test_how_late_is_late_is_a_setting(settings: Any):
    settings.LOCKSTEP = settings.LOCKSTEP | {"CONSOLE_LATE_SECONDS": 3_600}
    assert judge(overview_with(line_with(**WAITS))).state == "good"


# --- Escaping ---


def test_texts_from_elsewhere_are_escaped(operator: Client):
    name = f"own{ATTACK}"
    Subscription.objects.create(name=name, kind="event", follows=["*"])
    Delivery.objects.create(lane_id=lane(name, "1", failure="retry", cause=ATTACK).pk, seq=1, at=timezone.now())
    letter(name, ATTACK)
    Subscription.objects.filter(name=name).update(state="paused", reason=ATTACK)
    Subscription.objects.create(
        name="silent", kind="event", follows=["*"], silent_since=timezone.now(), silent_cause=ATTACK
    )
    WorkerHeartbeat.objects.create(id=uuid4(), seen=timezone.now(), complaint=ATTACK)
    record(name, kind=ATTACK, outcome=ATTACK, parameters={ATTACK: ATTACK})
    for page in (*PAGES, f"/console/operations/?subscription={ATTACK}"):
        text = operator.get(page).content.decode()
        assert "<script>alert" not in text and "<img" not in text, page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in operator.get("/console/operations/").content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in operator.get("/console/workers/").content.decode()


# --- Operations ---


def record(
    subscription: str = "", *, kind: str = "pause", outcome: str = "done", parameters: Mapping[str, Any] | None = None
) -> None:
    recording.carry_out(
        lambda: outcome, key=uuid4(), actor="user:1", kind=kind, subscription=subscription, parameters=parameters
    )


def record_twice() -> None:
    samples.record()
    Sample.objects.update(at=timezone.now() - timedelta(minutes=2))
    samples.record()


def test_an_operation_is_done_once_and_is_in_the_log_with_its_actor():
    done: list[str] = []

    def action() -> str:
        done.append("done")
        Article.objects.create(title="by an operation")
        return "It is done."

    key = uuid4()
    for _ in range(2):
        outcome = recording.carry_out(action, key=key, actor="user:7", kind="test", parameters={"since": NOW})
        assert outcome == "It is done."
    assert done == ["done"]
    assert Operation.objects.get().parameters == {"since": "2026-11-30T12:18:00Z"}
    logged = LoggedChange.objects.exclude(model="people.person").order_by("seq").values_list("model", "actor")
    assert list(logged) == [("blog.article", "user:7"), ("lockstep_console.operation", "user:7")]


def test_an_operation_that_fails_leaves_nothing():
    def action() -> str:
        Article.objects.create(title="rolled back")
        raise operations.WrongState("not now")

    with pytest.raises(operations.WrongState):
        recording.carry_out(action, key=uuid4(), actor="user:7", kind="test")
    assert not Article.objects.exists() and not Operation.objects.exists()


def test_the_second_of_two_at_the_same_time_is_rolled_back():
    key = uuid4()

    def action() -> str:
        Article.objects.create(title="twice")
        if Article.objects.count() == 1:
            Operation.objects.create(id=key, actor="user:8", kind="test", outcome="It was the other one.")
        return "It was this one."

    with pytest.raises(Exception, match="lockstep_console_operation_pkey"):
        recording.carry_out(action, key=key, actor="user:7", kind="test")
    assert not Article.objects.exists()


class Create(ActionView):
    """An action: a GET of it previews, a POST does it."""

    title = "Create"
    section = "overview"
    kind = "create"
    verb = "Create an article"

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        return ActionPreview(["An article is created."])

    def perform(self, parameters: Mapping[str, Any]) -> str:
        Article.objects.create(title="by an action")
        return "An article was created."


def asked(user: Person, method: str, **data: str) -> HttpResponse:
    request = getattr(RequestFactory(), method)("/console/create/", data)
    request.user, request._messages = user, CookieStorage(request)
    response = Create.as_view()(request)
    response.told = [str(message) for message in get_messages(request)]
    return response


def test_an_action_previews_and_then_acts_once():
    user = person("operator", "view_subscription", "operate_subscription")
    preview = asked(user, "get").content.decode()
    assert "An article is created." in preview and not Article.objects.exists()
    [key] = re.findall(r'name="key" value="([^"]+)"', preview)
    assert asked(user, "post", step="preview").status_code == 200
    assert asked(user, "post").status_code == 200  # without a key: the preview, again
    assert not Article.objects.exists()
    for _ in range(2):
        done = asked(user, "post", key=key)
        assert (done.status_code, done["Location"], done.told) == (302, "/console/", ["An article was created."])
    assert Article.objects.count() == Operation.objects.count() == 1
    assert Operation.objects.get().actor == f"user:{user.pk}"


def test_an_action_is_for_operators_alone():
    viewer = person("viewer", "view_subscription")
    for method in ("get", "post"):
        assert asked(viewer, method, key=str(uuid4())).status_code == 403
    assert not Article.objects.exists()


def test_an_action_needs_the_permission_in_its_own_transaction():
    """The right was there when the request began, and is withdrawn before it is carried out."""
    user = person("operator", "view_subscription", "operate_subscription")
    assert user.has_perm("lockstep.operate_subscription")  # from now on this object remembers it
    user.user_permissions.clear()
    refused = asked(user, "post", key=str(uuid4()))
    assert (refused.status_code, b"may not do this any more" in refused.content) == (403, True)
    assert not Article.objects.exists() and not Operation.objects.exists()


def test_operations_are_listed_by_pages_with_names(operator: Client):
    user = Person.objects.get(username="operator")
    for number_of in range(60):
        recording.carry_out(lambda: "done", key=uuid4(), actor=f"user:{user.pk}", kind=f"kind{number_of:02}")
    first = operator.get("/console/operations/").content.decode()
    kinds = re.findall(r"kind\d\d", first)
    assert kinds == [f"kind{number_of:02}" for number_of in range(59, 9, -1)] and "<bdi>operator</bdi>" in first
    [older] = re.findall(r'href="(\?before=[^"]+)"', first)
    second = operator.get(f"/console/operations/{older}").content.decode()
    assert re.findall(r"kind\d\d", second) == [f"kind{number_of:02}" for number_of in range(9, -1, -1)]
    assert "before=" not in second
    for wrong in ("before=x", "subscription=%00", "who=x", "who="):
        assert operator.get(f"/console/operations/?{wrong}").status_code == 404


def test_owners_operations_do_not_bury_those_of_operators(operator: Client):
    recording.carry_out(lambda: "done", key=uuid4(), actor="user:1", kind="by-operator")
    for _ in range(60):
        recording.carry_out(lambda: "done", key=uuid4(), actor="user:2", kind="by-owner", by_owner=True)

    def kinds(query: str) -> set[str]:
        return set(re.findall(r"by-\w+", operator.get(f"/console/operations/{query}").content.decode()))

    assert kinds("") == kinds("?who=operators") == {"by-operator"}
    assert kinds("?who=owners") == kinds("?who=all") == {"by-owner"}
    [older] = re.findall(r'href="(\?before=[^"]+)"', operator.get("/console/operations/?who=all").content.decode())
    assert kinds(older.replace("&amp;", "&")) == {"by-operator", "by-owner"}


@pytest.mark.parametrize("who", ["operators", "owners"])
def test_operations_of_operators_or_owners_are_found_by_an_index(operator: Client, who: str):
    with connection.cursor() as cursor:
        cursor.execute(MANY_OPERATIONS)
    Operation.objects.update(by_owner=who == "operators")
    recording.carry_out(lambda: "done", key=uuid4(), actor="user:1", kind="one", by_owner=who == "owners")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE lockstep_console_operation")
    with CaptureQueriesContext(connection) as captured:
        assert operator.get(f"/console/operations/?who={who}").status_code == 200
    assert "lockstep_console_operation_by" in used_indexes([each["sql"] for each in captured.captured_queries])


def test_operations_are_kept_as_long_as_the_log(monkeypatch: pytest.MonkeyPatch):
    """Their deletion is in the log, and the oldest go first where there are many."""
    for days in (33, 32, 31, 29):
        record(str(days))
        Operation.objects.filter(subscription=str(days)).update(at=timezone.now() - timedelta(days=days))
    monkeypatch.setattr(recording, "MAX_REMOVED", 2)
    assert "console-operations" in registered_names()
    for kept in ({"31", "29"}, {"29"}, {"29"}):
        recording.remove_old()
        assert set(Operation.objects.values_list("subscription", flat=True)) == kept
    assert LoggedChange.objects.filter(model="lockstep_console.operation", kind="deleted").count() == 3


def test_operations_of_a_subscription_are_found_by_an_index(operator: Client):
    with connection.cursor() as cursor:
        cursor.execute(MANY_OPERATIONS)
    with CaptureQueriesContext(connection) as captured:
        assert operator.get("/console/operations/?subscription=own").status_code == 200
    assert "lockstep_console_operation_of" in used_indexes([each["sql"] for each in captured.captured_queries])


def test_actors_have_names_where_there_is_a_user():
    user = person("ada")
    found = read_actors([f"user:{user.pk}", "user:999", "user:x", "process:import", None, ""])
    assert {text: actor.name for text, actor in found.items()} == {
        f"user:{user.pk}": "ada",
        "user:999": "user:999",
        "user:x": "user:x",
        "process:import": "process:import",
    }


# --- Samples, charts, words ---


def test_a_sample_is_recorded_once_a_minute_and_kept_for_a_day():
    Subscription.objects.create(name="own", kind="event", follows=["blog.article.*"])
    Sample.objects.create(name="", at=timezone.now() - timedelta(hours=25), waiting=0, failing=0, dead=0, lag=0)
    Article.objects.create(title="a")
    for _ in range(2):
        samples.record()
    latest = LoggedChange.objects.order_by("-seq").values_list("seq", flat=True)[0]
    rows = {sample.name: (sample.position, sample.waiting) for sample in Sample.objects.all()}
    assert rows["own"] == (None, 1) and rows[""] == (latest, sum(rows[name][1] for name in rows if name))


def at(minute: int, position: int | None = None, lag: float = 0.0) -> SampleRow:
    return SampleRow(NOW + timedelta(minutes=minute), position, 0, 0, 0, lag)


def test_rates_and_lags_have_gaps_where_nothing_was_measured():
    rows = [at(0, 0, 1.0), at(1, 120, 2.0), at(9, 600, 3.0), at(10, 600, 4.0)]
    assert [value for _, value in samples.rates(rows)] == [2.0, None, 0.0]
    assert [value for _, value in samples.lags(rows)] == [1.0, 2.0, None, 3.0, 4.0]
    assert [value for _, value in samples.rates([at(0), at(1, 60)])] == [None]


def test_a_chart_draws_each_piece_of_its_line():
    points = [(NOW, 0.0), (NOW + timedelta(minutes=1), 4.0), (NOW + timedelta(minutes=2), None)]
    chart = line_chart([*points, (NOW + timedelta(minutes=4), 2.0)], label="l")
    assert chart.lines == ["0.0,118.0 150.0,2.0", "594.0,60.0 600.0,60.0"]
    assert (chart.largest, chart.largest_at, chart.latest) == (4.0, NOW + timedelta(minutes=1), 2.0)
    assert line_chart([], label="l").latest is line_chart(points, label="l").latest is None
    assert line_chart([(NOW, 0.0)], label="l").lines == ["0.0,118.0 6.0,118.0"]


def test_values_of_charts_have_units_and_long_lags_are_durations():
    assert [measured(value, " s") for value in (0, 2.3, 119, 1_312)] == ["0 s", "2.3 s", "119 s", "21 min"]
    assert measured(1_312, " a minute") == "1,312 a minute"


def test_numbers_and_times_in_words():
    assert [duration(seconds) for seconds in (0.3, 45, 840, 18_720, 260_000)] == [
        "less than a second",
        "45 s",
        "14 min",
        "5 h 12 min",
        "3 days",
    ]
    assert [number(value) for value in (0, 3.0, 2.25, 1234.5, 10_000)] == ["0", "3", "2.2", "1,234", "10,000"]
    assert [size(value) for value in (12, 1_500, 2_000_000, 3_400_000_000)] == [
        "12 bytes",
        "1.5 kB",
        "2.0 MB",
        "3.4 GB",
    ]


def test_a_value_is_shared_for_longer_where_reading_takes_long():
    clock, reads = [0.0], list[float]()

    def read() -> float:
        reads.append(clock[0])
        clock[0] += 0.05
        return clock[0]

    shared = Shared(read, clock=lambda: clock[0])
    assert shared.get() == shared.get() == 0.05
    clock[0] = 20.0  # 400 times as long as the reading took
    assert shared.get() == 0.05
    clock[0] = 20.1
    assert shared.get() == pytest.approx(20.15)
    shared.forget()
    shared.get()
    assert len(reads) == 3


def test_a_failed_reading_is_tried_again():
    outcomes = iter([ValueError("away"), 1])

    def read() -> int:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    shared = Shared(read)
    with pytest.raises(ValueError, match="away"):
        shared.get()
    assert shared.get() == 1


def test_those_who_waited_for_a_reading_that_failed_do_not_read_one_after_the_other():
    reads, moments, may_fail = list[int](), list[float](), Event()

    def read() -> int:
        reads.append(1)
        may_fail.wait(WAIT_TIMEOUT)
        raise ValueError("away")

    def clock() -> float:
        moments.append(time.monotonic())
        return moments[-1]

    shared = Shared(read, clock=clock)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(shared.get) for _ in range(4)]
        eventually(lambda: reads and len(moments) == 5, "three to wait for the first")  # which has asked twice
        may_fail.set()
        failures = [each.exception() for each in waiting]
    assert [str(failure) for failure in failures] == ["away"] * 4
    assert len(reads) == 1


# --- The project ---


urlpatterns = [path("nothing/", lambda request: HttpResponse())]


def test_a_project_without_the_admin_in_its_urls_is_an_error(settings: Any):
    assert not [message for message in run_checks() if message.id == "lockstep.E041"]
    settings.ROOT_URLCONF = __name__
    [found] = [message for message in run_checks() if message.id == "lockstep.E041"]
    assert 'path("admin/", admin.site.urls)' in str(found.hint)
