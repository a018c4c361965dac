"""Runs: audits that operators ask for, and what of runs is the same for all kinds."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from kit.operators import OPERATE, VIEW, Operator
from kit.waiting import eventually
from kit.workers import BackgroundWorker
from project.blog.models import Article

from lockstep.console import audit_runs, runs
from lockstep.console.models import Difference, Operation, Run
from lockstep.delivery import audit as audit_module
from lockstep.delivery.audit import Finding
from lockstep.delivery.database import open_pool
from lockstep.delivery.operations import WrongState
from lockstep.delivery.periodic import declare_periodic
from lockstep.models import LoggedChange, Subscription

pytestmark = [pytest.mark.extras, pytest.mark.django_db(transaction=True)]

ATTACK = "<script>alert(1)</script>"


@pytest.fixture
def operator() -> Operator:
    return Operator("operator", VIEW, OPERATE)


@pytest.fixture(autouse=True)
def no_other_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "_checks", [])


def look() -> None:
    """What a worker does when it looks for runs, until those that it begins have ended."""

    async def once() -> None:
        async with open_pool(2) as pool:
            async with pool.connection() as own:
                await declare_periodic(own)
            await runs.start_waiting_runs(pool)
            await asyncio.gather(*runs._tasks)

    asyncio.run(once())


def ask(**options: Any) -> Run:
    with transaction.atomic():
        return Run.objects.get(pk=runs.request_run("audit", actor="user:1", **options))


def lose(run: Run) -> None:
    """The worker that has claimed the run is gone."""
    Run.objects.filter(pk=run.pk).update(state="running", attempts=1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lockstep_console_run SET lease_until = now() - interval '1 s'")


# --- The audit, from the page to its result ---


def test_an_audit_is_asked_for_made_by_a_worker_and_shown(operator: Operator):
    Article.objects.create(title="equal")
    other = Article.objects.create(title="other")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE blog_article DISABLE TRIGGER USER")
        cursor.execute("UPDATE blog_article SET title = 'by hand' WHERE id = %s", [other.pk])
        cursor.execute("ALTER TABLE blog_article ENABLE TRIGGER USER")
    assert "None yet." in operator.see("audit/")
    preview = operator.preview("audit/make/", chosen="on", outside="on")
    assert "Nothing is changed." in preview
    waiting = operator.confirm("audit/make/", preview)
    [run] = Run.objects.all()
    assert waiting["Location"] == f"/console/runs/{run.pk}/"
    assert "No worker has taken it yet." in operator.see(f"runs/{run.pk}/")
    look()
    page = operator.see(f"runs/{run.pk}/")
    assert (
        'class="verdict late"' in page
        and "differ." in page
        and f'href="/console/objects/blog.article/{other.pk}/"' in page
    )
    assert "manage.py lockstep resync blog.article --plan" in page
    assert f'href="/console/runs/{run.pk}/"' in operator.see("audit/")


def test_who_asked_is_in_the_change_log(operator: Operator):
    operator.do("audit/make/", chosen="on")
    [run], [operation] = Run.objects.all(), Operation.objects.all()
    actor = f"user:{operator.person.pk}"
    assert (run.actor, operation.actor, operation.kind) == (actor, actor, "audit")
    assert run.parameters == {"outside": False}
    assert LoggedChange.objects.filter(model="lockstep_console.operation", actor=actor).exists()


def test_only_one_audit_is_open(operator: Operator):
    operator.do("audit/make/", chosen="on")
    page = operator.do("audit/make/", chosen="on")
    assert Run.objects.count() == 1 and "has not ended yet" in page


def test_a_repeated_form_asks_once(operator: Operator):
    preview = operator.preview("audit/make/", chosen="on")
    operator.confirm("audit/make/", preview)
    look()
    assert operator.confirm("audit/make/", preview).status_code == 302
    assert Run.objects.count() == 1


def test_a_worker_is_told_of_a_run(operator: Operator):
    worker = BackgroundWorker([]).start()
    try:
        operator.do("audit/make/", chosen="on")
        eventually(lambda: Run.objects.get().state == "done", "the audit")
    finally:
        worker.stop()


def test_findings_of_other_systems_are_shown_escaped(operator: Operator, monkeypatch: pytest.MonkeyPatch):
    found = [
        Finding(ATTACK, 3, [ATTACK], remark=ATTACK, remedy=ATTACK),
        Finding("rows = away", 0, not_compared=ATTACK),
    ]
    monkeypatch.setattr(audit_module, "_checks", [lambda each=each: each for each in found])
    run = ask()
    look()
    page = operator.see(f"runs/{run.pk}/")
    assert ATTACK not in page and page.count("&lt;script&gt;") >= 4
    assert "not compared" in page and "could not be made" in page


def test_an_audit_stores_what_postgresql_cannot(operator: Operator, monkeypatch: pytest.MonkeyPatch):
    found = Finding("rows = a\0way", 1, ["b\udc00c"], remark="d\0e")
    monkeypatch.setattr(audit_module, "_checks", [lambda: found])
    run = ask()
    look()
    page = operator.see(f"runs/{run.pk}/")
    assert "rows = a\N{REPLACEMENT CHARACTER}way" in page and "b?c" in page and "d\N{REPLACEMENT CHARACTER}e" in page


def test_a_plan_that_was_removed_meanwhile_is_not_applied():
    with pytest.raises(WrongState, match="The plan is gone"), transaction.atomic():
        runs.request_run("apply", actor="user:1", mirror="blog", plan=uuid4())
    assert not Run.objects.exists()


def test_equal_members_of_a_family_are_one_line():
    for number in range(5):
        Subscription.objects.create(name=f"webhook:{number}", kind="event", follows=["blog.article.*"])
    run = ask()
    look()
    run.refresh_from_db()
    names = [finding["what"] for finding in run.summary["findings"] if "webhook:" in finding["what"]]
    assert names == ["log = webhook:*"]


def test_what_an_audit_keeps_is_bounded(operator: Operator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit_runs, "MAX_NAMED", 120)
    many = Finding("rows = many", 500, [f"one {number}" for number in range(500)])
    monkeypatch.setattr(audit_module, "_checks", [lambda: many])
    run = ask()
    look()
    assert Difference.objects.filter(run=run).count() == 120
    first = operator.see(f"runs/{run.pk}/", collection="rows = many")
    assert "500 differ" in first and "380 more are not kept." in first and "one 49<" in first and "one 50<" not in first
    assert "after=50" in first
    second = operator.see(f"runs/{run.pk}/", after=50)
    assert "one 50<" in second and "one 49<" not in second
    assert "one 7<" in operator.see(f"runs/{run.pk}/", key="one 7")
    assert "None matches." in operator.see(f"runs/{run.pk}/", key="nothing")


def test_an_audit_says_how_many_comparisons_and_objects_it_leaves_out(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audit_runs, "MAX_LISTED", 2)
    monkeypatch.setattr(audit_runs, "MAX_DIFFERENCES", 4)
    found = [Finding(f"rows = x{number}", 9, ["one", "two"]) for number in range(5)]
    monkeypatch.setattr(audit_module, "_checks", [lambda each=each: each for each in found])
    run = ask()
    look()
    run.refresh_from_db()
    listed = [finding for finding in run.summary["findings"] if ":*" not in finding["what"]]
    assert (len(listed), run.summary["left_out"]) == (2, 6) and run.summary["unlisted"] >= 3
    page = operator.see(f"runs/{run.pk}/")
    assert f"{run.summary['unlisted']} more are not kept." in page and "6 more are not kept." in page


# --- Rights and parameters ---


def test_a_viewer_sees_and_does_not_ask():
    viewer = Operator("viewer", VIEW)
    run = ask()
    assert "Make an audit" not in viewer.see("audit/")
    viewer.see(f"runs/{run.pk}/")
    assert viewer.get("audit/make/").status_code == 403
    assert viewer.post("audit/make/", chosen="on").status_code == 403
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("audit/", {"before": "x"}, 404),
        ("audit/", {"before": "\0"}, 200),
        ("audit/", {"before": str(uuid4())}, 200),
        ("runs/{run}/", {"after": "x"}, 200),
        ("runs/{run}/", {"after": "99999999999999999999"}, 200),
        ("runs/{run}/", {"collection": "\0", "key": "x"}, 200),
        ("runs/{run}/", {"key": b"\xed\xa0\x80"}, 200),
        ("runs/{run}/", {"kind": ATTACK, "field": "x" * 999}, 200),
        ("runs/{other}/", {}, 404),
        ("mirrors/", {}, 404),
        ("mirrors/none/", {}, 404),
        ("mirrors/none/plan/", {}, 404),
        ("runs/{run}/apply/", {}, 404),
        ("runs/{other}/apply/", {}, 404),
    ],
)
def test_junk_is_refused_or_ignored(operator: Operator, path: str, query: dict[str, Any], status: int):
    run = ask()
    response = operator.get(path.format(run=run.pk, other=uuid4()), **query)
    assert response.status_code == status and ATTACK not in response.content.decode()
    assert response.content.decode().count("Content-Security-Policy") == 0
    assert "default-src 'none'" in response["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["mirrors/none/plan/", "runs/{other}/apply/", "runs/{run}/apply/"])
def test_actions_on_what_is_not_there_are_refused(operator: Operator, path: str):
    run = ask()
    assert operator.post(path.format(run=run.pk, other=uuid4())).status_code == 404


def test_the_section_of_mirrors_is_hidden_where_there_are_none(operator: Operator):
    page = operator.see("audit/")
    assert ">Audit</a>" in page and ">Mirrors</a>" not in page


def test_the_number_of_queries_is_constant(operator: Operator):
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            operator.see(path)
        return len(captured)

    run = ask()
    few = queries("audit/"), queries(f"runs/{run.pk}/")
    look()
    for _ in range(5):
        run = ask()
        look()
    Run.objects.update(actor=f"user:{operator.person.pk}")
    many = queries("audit/"), queries(f"runs/{run.pk}/")
    assert many[0] <= few[0] + 1 and many[1] <= few[1] + 1  # the actors


# --- Workers that end, and old runs ---


def test_an_audit_of_a_worker_that_is_gone_is_made_again():
    run = ask()
    lose(run)
    look()
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("done", 2)


def test_an_application_of_a_worker_that_is_gone_is_said_to_be_interrupted(operator: Operator):
    run = ask()
    Run.objects.filter(pk=run.pk).update(kind="apply", mirror="shop")
    lose(run)
    look()
    run.refresh_from_db()
    assert run.state == "failed" and run.outcome.startswith("Interrupted")
    assert "Interrupted" in operator.see(f"runs/{run.pk}/")


def test_a_run_whose_workers_end_again_and_again_is_given_up():
    run = ask()
    lose(run)
    Run.objects.update(attempts=runs.MAX_ATTEMPTS)
    look()
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("failed", runs.MAX_ATTEMPTS)


def test_a_worker_that_has_lost_a_run_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "BEAT_SECONDS", 0.01)

    def taken() -> Finding:
        Run.objects.update(attempts=7, lease_until="2999-01-01T00:00Z")  # by another worker
        return Finding("rows = slow", 1, ["one"])

    monkeypatch.setattr(audit_module, "_checks", [taken])
    run = ask()
    look()
    run.refresh_from_db()
    assert (run.state, run.attempts, run.outcome) == ("running", 7, "")
    assert not Difference.objects.exists()


def test_a_bug_ends_the_run_and_says_where_to_look(monkeypatch: pytest.MonkeyPatch):
    def broken() -> Finding:
        raise KeyError("x")

    monkeypatch.setattr(audit_module, "_checks", [broken])
    run = ask()
    look()
    run.refresh_from_db()
    assert run.state == "failed" and "KeyError" in run.outcome
    ask()  # it does not block the next one


def test_all_but_five_old_runs_go_with_their_differences(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit_module, "_checks", [lambda: Finding("rows = x", 1, ["one"])])
    made = []
    for _ in range(7):
        made.append(ask())
        look()
    ask()
    assert set(Run.objects.filter(state="done")) == set(made[2:])
    assert set(Difference.objects.values_list("run_id", flat=True)) == {run.pk for run in made[2:]}


def test_another_run_is_refused_while_one_is_open():
    ask()
    with pytest.raises(WrongState):
        ask()
    assert json.loads(json.dumps(Run.objects.get().parameters)) == {}
