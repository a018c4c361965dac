"""Figures for monitoring: what waits, from the database; what was done, from each worker."""

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.test import Client
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from lockstep.delivery import counters, operations
from lockstep.delivery.clock import DatabaseClock
from lockstep.delivery.errors import Rejected
from lockstep.delivery.lanes import Outcome
from lockstep.delivery.subscriptions import Change, Claim, Skipped, registered
from lockstep.delivery.tests.support import Steps, insert_post, rename_post, subscriber
from tests.support import BackgroundWorker, eventually


def figures(client: Client, **headers: str) -> dict[tuple[str, str], float]:
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 200
    return {
        (sample.name.removeprefix("lockstep_subscription_"), sample.labels["subscription"]): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
        if sample.name.startswith("lockstep_subscription_")
    }


def samples(client: Client, name: str) -> dict[str, float]:
    """The samples of one family, by the value of their label; "" where there is none."""
    families = text_string_to_metric_families(client.get("/metrics").content.decode())
    [family] = [family for family in families if family.name == name]
    return {next(iter(sample.labels.values()), ""): sample.value for sample in family.samples}


@pytest.fixture(autouse=True)
def development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DEBUG", True)


def test_waiting_changes_are_shown_for_every_subscription(client: Client, steps: Steps, database: psycopg.Connection):
    steps.declare(subscriber())
    steps.declare(subscriber("other"))
    operations.pause("other", reason="for now")
    post = insert_post(database, "a")
    insert_post(database, "b")
    insert_post(database, "c")
    steps.fan_out()
    claims = steps.claim(subscriber(), limit=1)
    steps.settle(*claims, error=Rejected("no"))
    rename_post(database, post, "d")
    shown = figures(client)
    assert [shown[name, "test"] for name in ("behind", "waiting", "objects", "dead", "stopped")] == [1, 2, 2, 1, 0]
    assert [shown[name, "other"] for name in ("behind", "waiting", "stopped")] == [4, 0, 1]
    assert shown["oldest_seconds", "other"] > 0


def test_members_of_a_family_are_one_figure(client: Client, steps: Steps, database: psycopg.Connection):
    for n in range(3):
        steps.declare(subscriber(f"family:{n}"))
    operations.disable("family:2", reason="nobody there")
    insert_post(database, "a")
    shown = figures(client)
    assert (shown["behind", "family"], shown["stopped", "family"]) == (2, 1)
    assert {name for _, name in shown} == {"family"}


def test_deliveries_of_a_worker_are_counted(steps: Steps, worker: BackgroundWorker, database: psycopg.Connection):
    async def handler(claim: Claim) -> Skipped | None:
        if claim.change.after["title"] == "bad":
            raise Rejected("no")
        return Skipped("nothing to send") if claim.change.after["title"] == "skipped" else None

    def counted(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"subscription": "counted", **labels}) or 0.0

    who = subscriber("counted", handler=handler)
    steps.declare(who)
    worker.subscribers = [who]
    worker.start()
    for title in ("a", "b", "skipped", "bad"):
        insert_post(database, title)
    eventually(lambda: counted("lockstep_delivery_dead_letters_total") == 1)
    eventually(lambda: counted("lockstep_delivery_attempts_total", outcome="delivered") == 2)
    eventually(lambda: counted("lockstep_delivery_attempts_total", outcome="skipped") == 1)
    assert counted("lockstep_delivery_attempts_total", outcome="refused") == 1
    assert counted("lockstep_delivery_fanned_out_changes_total") == 4
    assert counted("lockstep_delivery_attempt_seconds_count") == 3
    assert counted("lockstep_delivery_age_seconds_count") == 2
    assert counted("lockstep_delivery_settlement_failures_total") == 0


def test_the_age_of_a_delivery_is_by_the_databases_clock():
    at = datetime(2001, 1, 1, tzinfo=UTC)
    change = Change(1, at, "posts.post", "1", "created", None, {})
    clock = DatabaseClock(at + timedelta(seconds=4), time.monotonic())
    counted = counters.SubscriptionMetrics("aged")
    counted.count([Outcome(Claim(1, 1, 1, uuid4(), change, clock=clock))])
    counted.count([Outcome(Claim(1, 1, 1, uuid4(), change, clock=clock), error=Rejected("no"))])
    labels = {"subscription": "aged"}
    assert REGISTRY.get_sample_value("lockstep_delivery_age_seconds_count", labels) == 1
    assert (REGISTRY.get_sample_value("lockstep_delivery_age_seconds_sum", labels) or 0) >= 4
    assert REGISTRY.get_sample_value("lockstep_delivery_age_seconds_bucket", labels | {"le": "2.5"}) == 0


def test_settlements_that_fail_are_counted():
    counters.SubscriptionMetrics("full").count_unsettled()
    assert REGISTRY.get_sample_value("lockstep_delivery_settlement_failures_total", {"subscription": "full"}) == 1


def test_workers_are_counted_by_state(client: Client, db: None, database: psycopg.Connection):
    beat = (
        "INSERT INTO lockstep_workerheartbeat (id, seen, complaint) VALUES (%s, now() - make_interval(secs => %s), %s)"
    )
    for seconds, complaint in ((0, ""), (1, ""), (0, "the relay has not moved for 12 s"), (30, ""), (120, "")):
        database.execute(beat, [uuid4(), seconds, complaint])
    shown = samples(client, "lockstep_workers")
    assert shown == {"moving": 2, "hanging": 1, "silent": 1}


def test_periodic_work_that_is_late_is_shown(client: Client, db: None, database: psycopg.Connection):
    database.execute(
        "INSERT INTO lockstep_periodictask (name, next_at) VALUES ('old-attempts', now() - interval '4 hours')"
        " ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at"
    )
    shown = samples(client, "lockstep_periodic_work_late")
    assert [name for name, late in shown.items() if late] == ["old-attempts"]
    assert "empty-places" in shown


def test_a_declaration_that_another_version_replaced_is_shown(client: Client, database: psycopg.Connection):
    one = registered()[0]
    name = "lockstep_declaration_replaced"
    assert set(samples(client, name).values()) == {0}
    database.execute(
        "UPDATE lockstep_subscription SET cap = cap + 1,"
        " replaced = ARRAY[ROW(kind, follows, skip_origin, cap)::text] WHERE name = %s",
        [one.name],
    )
    assert [name for name, is_replaced in samples(client, name).items() if is_replaced] == [one.name]


def test_transactions_slots_and_the_log_are_measured(client: Client, steps: Steps, database: psycopg.Connection):
    insert_post(database, "a")
    with psycopg.connect(steps.url) as holder:
        holder.execute("SELECT 1")
        shown = samples(client, "lockstep_database_oldest_transaction_seconds")
        assert shown["open"] > 0
        assert shown["prepared"] == 0
    assert samples(client, "lockstep_database_slot_retained_wal_bytes") == {}
    assert abs(samples(client, "lockstep_clock_offset_seconds")[""]) < 60
    assert samples(client, "lockstep_database_change_log_bytes")[""] > 8192
    assert samples(client, "lockstep_database_change_log_overdue_partitions") == {"": 0}


def test_weeks_past_retention_are_counted(
    client: Client, db: None, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(settings.LOCKSTEP, "RETENTION_DAYS", -21)
    assert samples(client, "lockstep_database_change_log_overdue_partitions")[""] > 0


def test_metrics_need_the_token_or_debug(client: Client, db: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(settings.LOCKSTEP, "REST_METRICS_TOKEN", "figures-please")
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer nonsense"}).status_code == 401
    figures(client, authorization="Bearer figures-please")
    monkeypatch.setitem(settings.LOCKSTEP, "REST_METRICS_TOKEN", "")
    monkeypatch.setattr(settings, "DEBUG", False)
    assert client.get("/metrics").status_code == 404
