"""Figures for monitoring: what waits, from the database; what was done, from each worker."""

import psycopg
import pytest
from django.conf import settings
from django.test import Client
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from lockstep.delivery import operations
from lockstep.delivery.errors import Refused
from lockstep.delivery.subscriptions import Claim, Skipped
from lockstep.delivery.tests.support import Steps, insert_post, rename_post, subscriber
from tests.support import BackgroundWorker, eventually


def figures(client: Client, **headers: str) -> dict[tuple[str, str], float]:
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 200
    return {
        (sample.name.removeprefix("lockstep_subscription_"), sample.labels["subscription"]): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
        if "subscription" in sample.labels
    }


@pytest.fixture(autouse=True)
def development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DEBUG", True)


def test_what_waits_is_shown_for_every_subscription(client: Client, steps: Steps, database: psycopg.Connection):
    steps.declare(subscriber())
    steps.declare(subscriber("other"))
    operations.pause("other", reason="for now")
    post = insert_post(database, "a")
    insert_post(database, "b")
    insert_post(database, "c")
    steps.fan_out()
    claims = steps.claim(subscriber(), limit=1)
    steps.settle(*claims, error=Refused("no"))
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


def test_what_a_worker_did_is_counted(steps: Steps, worker: BackgroundWorker, database: psycopg.Connection):
    async def handler(claim: Claim) -> Skipped | None:
        if claim.change.after["title"] == "bad":
            raise Refused("no")
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


def test_the_figures_are_not_for_strangers(client: Client, db: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settings, "METRICS_TOKEN", "figures-please")
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer nonsense"}).status_code == 401
    figures(client, authorization="Bearer figures-please")
    monkeypatch.setattr(settings, "METRICS_TOKEN", "")
    monkeypatch.setattr(settings, "DEBUG", False)
    assert client.get("/metrics").status_code == 404
