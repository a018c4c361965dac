"""The console's subscriptions: the list, one of them, and pausing, resuming and rewinding it."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from kit.operators import OPERATE, VIEW, Operator
from kit.queries import LARGE, make_many_rows, queries_of, scanned_tables
from project.blog import subscribers
from project.blog.models import Article

from lockstep.console.models import Operation
from lockstep.console.views.overview import shown
from lockstep.models import LoggedChange, Subscription
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


def make_endpoints(count: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO lockstep_subscription (name, kind, follows)"
            " SELECT 'webhook:' || lpad(n::text, 6, '0'), 'event', '{blog.article.*}' FROM generate_series(1, %s) AS n",
            [count],
        )


def make_failing(subscription: str, model: str, object_id: str, cause: str) -> None:
    """A lane with one change whose last attempt failed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH lane AS (INSERT INTO lockstep_lane"
            " (subscription_id, model, object_id, next_at, attempts, failure, cause)"
            " VALUES (%s, %s, %s, now() + interval '90 s', 2, 'failed', %s) RETURNING id)"
            " INSERT INTO lockstep_delivery (lane_id, seq, at) SELECT id, 1, now() - interval '20 min' FROM lane",
            [subscription, model, object_id, cause],
        )


def state(name: str) -> str:
    return Subscription.objects.get(pk=name).state


# --- The list ---


def test_a_family_is_one_line_with_a_paged_list(viewer: Operator):
    make_endpoints(60)
    page = viewer.see("subscriptions/")
    assert "blog.push" in page
    assert "webhook:" not in page and "?family=webhook" in page
    first = viewer.see("subscriptions/", family="webhook")
    assert "webhook:000050" in first and "webhook:000051" not in first and "blog.push" not in first
    second = viewer.see("subscriptions/", family="webhook", after="webhook:000050")
    assert "webhook:000060" in second and "webhook:000050<" not in second


def test_a_family_is_filtered_by_state_and_name(viewer: Operator):
    make_endpoints(60)
    Subscription.objects.filter(pk="webhook:000033").update(silent_since=timezone.now(), silent_cause="refused")
    page = viewer.see("subscriptions/", family="webhook", state="silent")
    assert "webhook:000033" in page and "webhook:000034" not in page and "Has not answered since" in page
    assert "webhook:000021" in viewer.see("subscriptions/", family="webhook", contains="0021")


def test_the_name_of_a_family_leads_to_its_list(viewer: Operator):
    response = viewer.get("subscriptions/webhook/")
    assert (response.status_code, response["Location"]) == (302, "/console/subscriptions/?family=webhook")
    assert viewer.get("subscriptions/nothing/").status_code == 404


# --- One subscription ---


def test_the_page_says_what_fails_and_when_it_is_tried_again(viewer: Operator):
    make_failing("notes", "blog.note", "first", "RetryLater: 503")
    page = viewer.see("subscriptions/notes/")
    assert "The last attempt of 1 object failed." in page
    assert "1 change waits, the oldest for 20 min." in page
    assert "RetryLater: 503" in page and "Next try in" in page and "blog.note first" in page
    assert "<code>blog.note.*</code>" in page


def test_changes_that_wait_are_counted_in_lanes_and_in_the_log(operator: Operator):
    operator.do("subscriptions/blog.notify/pause/", reason="maintenance")
    for title in "abc":
        Article.objects.create(title=title)
    page = operator.see("subscriptions/blog.notify/")
    assert "Paused: maintenance. Nothing is delivered until it is resumed." in page
    assert "3 changes wait, the oldest for" in page
    operator.do("subscriptions/blog.notify/resume/")
    deliver_all(strict=True)
    assert "Nothing waits." in operator.see("subscriptions/blog.notify/")


def test_counts_stop_at_a_limit_and_say_so(viewer: Operator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lockstep.console.reads.subscriptions.MOST", 3)
    for title in "abc":
        Article.objects.create(title=title)
    page = viewer.see("subscriptions/blog.notify/")
    assert "At least 2 changes wait" in page and "of 3+ not fanned out" in page  # the other one is the viewer


def test_an_open_window_says_where_it_reads(viewer: Operator):
    Article.objects.create(title="a")
    deliver_all(strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE lockstep_place SET window_start = '1:1:', window_end = pg_current_snapshot(), window_seq = 1,"
            " window_last = 7 WHERE id = (SELECT place_id FROM lockstep_subscription WHERE name = 'blog.notify')"
        )
    page = viewer.see("subscriptions/blog.notify/")
    assert "It reads the log from number 1 up to 7." in page and "1 change waits" in page


# --- Operations ---


def test_a_pause_needs_a_reason_and_changes_nothing_before_it_is_confirmed(operator: Operator):
    assert "This field is required" in operator.preview("subscriptions/blog.push/pause/", reason=" ")
    assert operator.post("subscriptions/blog.push/pause/").status_code == 400
    page = operator.preview("subscriptions/blog.push/pause/", reason="maintenance")
    assert "The reason will be: maintenance" in page
    assert state("blog.push") == "active" and not Operation.objects.exists()
    done = operator.do("subscriptions/blog.push/pause/", reason="maintenance")
    assert "Paused blog.push: maintenance" in done
    assert state("blog.push") == "paused"


def test_an_operation_is_recorded_and_in_the_log_with_its_actor(operator: Operator):
    operator.do("subscriptions/blog.push/pause/", reason="maintenance")
    [operation] = Operation.objects.all()
    actor = f"user:{operator.person.pk}"
    assert (operation.actor, operation.kind, operation.subscription) == (actor, "pause", "blog.push")
    assert operation.parameters == {"reason": "maintenance"}
    [change] = LoggedChange.objects.filter(model="lockstep_console.operation")
    assert (change.actor, change.after["kind"]) == (actor, "pause")


def test_resuming_an_active_subscription_cannot_be_confirmed(operator: Operator):
    page = operator.preview("subscriptions/blog.push/resume/")
    assert "blog.push is active already" in page and 'name="key"' not in page


def test_a_rewind_sends_again_what_the_preview_counts(operator: Operator):
    Article.objects.create(title="old")
    deliver_all(strict=True)
    since = timezone.now()
    for title in "ab":
        Article.objects.create(title=title)
    deliver_all(strict=True)
    subscribers.received.clear()
    page = operator.preview("subscriptions/blog.notify/rewind/", since=since.isoformat())
    assert "2 changes of 2 objects will be sent again" in page
    deliver_all(strict=True)
    assert not subscribers.received["notify"]
    operator.confirm("subscriptions/blog.notify/rewind/", page)
    deliver_all(strict=True)
    assert sorted(change.after["title"] for change in subscribers.received["notify"]) == ["a", "b"]


def test_the_preview_of_a_rewind_reads_a_part_of_a_long_log(operator: Operator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lockstep.console.reads.subscriptions.MOST_REWOUND", 2)
    for title in "abc":
        Article.objects.create(title=title)
    page = operator.preview("subscriptions/blog.notify/rewind/", everything="on")
    assert "Of the first 2, 1 change of 1 object will be sent again" in page  # the other one is the operator


@pytest.mark.parametrize("values", [{}, {"since": "2026-01-01T00:00", "everything": "on"}, {"since": "yesterday"}])
def test_a_rewind_needs_one_valid_choice(operator: Operator, values: dict[str, str]):
    assert 'name="key"' not in operator.preview("subscriptions/blog.notify/rewind/", **values)
    assert operator.post("subscriptions/blog.notify/rewind/", **values).status_code == 400


def test_a_rewind_to_the_future_cannot_be_confirmed(operator: Operator):
    since = timezone.now() + timedelta(days=1)
    page = operator.preview("subscriptions/blog.notify/rewind/", since=since.isoformat())
    assert "nothing would be sent" in page and 'name="key"' not in page


# --- Rights ---

PAGES = ["subscriptions/", "subscriptions/blog.push/"]
ACTIONS = [f"subscriptions/blog.push/{action}/" for action in ("pause", "resume", "rewind")]


@pytest.mark.parametrize("path", [*PAGES, *ACTIONS])
def test_pages_are_for_staff_with_the_permission(path: str, operator: Operator, viewer: Operator):
    assert operator.get(path).status_code == 200
    assert viewer.get(path).status_code == (200 if path in PAGES else 403)
    assert Operator("none").get(path).status_code == 403
    assert Operator("user", VIEW, OPERATE, is_staff=False).get(path).status_code == 403


@pytest.mark.parametrize("name", ["nothing", "%00", "a%20b"])
def test_an_unknown_name_is_not_found(name: str, operator: Operator):
    for path in (f"subscriptions/{name}/", f"subscriptions/{name}/pause/"):
        assert operator.get(path).status_code == 404
    assert operator.post(f"subscriptions/{name}/pause/", reason="a").status_code == 404
    assert not Operation.objects.exists()


@pytest.mark.parametrize(("action", "values"), [("pause", {"reason": "a"}), ("rewind", {"everything": "on"})])
def test_a_viewer_changes_nothing(action: str, values: dict[str, str], viewer: Operator):
    Article.objects.create(title="a")
    deliver_all(strict=True)
    subscribers.received.clear()
    assert viewer.post(f"subscriptions/blog.notify/{action}/", **values).status_code == 403
    deliver_all(strict=True)
    assert state("blog.notify") == "active" and not subscribers.received["notify"]
    assert f"blog.notify/{action}/" not in viewer.see("subscriptions/blog.notify/")


def test_a_request_without_the_csrf_token_is_refused():
    operator = Operator("olga", VIEW, OPERATE, checks_csrf=True)
    assert operator.post("subscriptions/blog.push/pause/", reason="a").status_code == 403
    assert state("blog.push") == "active"


def test_stored_texts_are_escaped(operator: Operator):
    make_failing("notes", SCRIPT, SCRIPT, SCRIPT)
    Subscription.objects.filter(pk="notes").update(
        silent_since=timezone.now(), silent_cause=SCRIPT, skip_origin=SCRIPT, follows=[SCRIPT]
    )
    Subscription.objects.filter(pk="blog.push").update(state="paused", paused=SCRIPT, reason=SCRIPT)
    pages = [operator.see(path) for path in ("subscriptions/", "subscriptions/notes/", "subscriptions/blog.push/")]
    pages.append(operator.preview("subscriptions/blog.push/pause/", reason=SCRIPT))
    for page in pages:
        assert SCRIPT not in page and ESCAPED in page


# --- Many rows ---


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("", {}),
        ("subscriptions/", {}),
        ("subscriptions/", {"family": "webhook"}),
        ("subscriptions/blog.notify/", {}),
        ("subscriptions/blog.notify/rewind/", {"since": "2020-01-01T00:00"}),
    ],
)
def test_many_rows_need_no_more_queries_and_no_scan_of_a_table(
    path: str, query: dict[str, str], operator: Operator, monkeypatch: pytest.MonkeyPatch
):
    # Below the number of rows, as in production: a scan would be quicker otherwise.
    monkeypatch.setattr("lockstep.console.reads.subscriptions.MOST", 200)
    monkeypatch.setattr("lockstep.console.reads.subscriptions.MOST_REWOUND", 200)
    shown.forget()
    Article.objects.create(title="a")
    deliver_all(strict=True)
    few = len(queries_of(operator, path, query))
    make_many_rows()
    shown.forget()
    queries = queries_of(operator, path, query)
    assert len(queries) == few
    assert not scanned_tables(queries) & LARGE
