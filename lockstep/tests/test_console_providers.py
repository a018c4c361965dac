"""The console's page of providers: what they answered, what fails, how fresh our copy is."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from kit.operators import VIEW, Operator
from kit.waiting import eventually
from kit.workers import BackgroundWorker

from lockstep.console.views.overview import shown
from lockstep.delivery import providers
from lockstep.delivery.providers import Freshness, Provider, register_provider
from lockstep.http import figures
from lockstep.http.client import HttpClient
from lockstep.http.errors import Unreachable
from lockstep.http.figures import measured, take_figures
from lockstep.models import Lane, ProviderMinute, Subscription

pytestmark = [pytest.mark.extras, pytest.mark.django_db(transaction=True)]

ATTACK = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def nothing_declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(providers, "_registered", {})
    take_figures()
    shown.forget()
    yield
    shown.forget()
    take_figures()


@pytest.fixture
def operator() -> Operator:
    return Operator("operator", VIEW)


def minute(provider: str, outcome: str = "", operations: int = 1, seconds: float = 0.5) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO lockstep_providerminute VALUES (%s, date_trunc('minute', now()), %s, %s, %s, %s)",
            [provider, outcome, operations, seconds, seconds],
        )


def test_the_section_is_there_where_a_provider_is_declared(operator: Operator):
    assert ">Providers</a>" not in operator.see("workers/")
    assert "declares no provider" in operator.see("providers/")
    register_provider(Provider("payments"))
    assert ">Providers</a>" in operator.see("workers/")
    assert "No worker has asked it for anything in the last hour." in operator.see("providers/")


def test_the_page_says_how_a_provider_answered(operator: Operator):
    register_provider(Provider("payments"))
    minute("payments", operations=8, seconds=0.4)
    minute("payments", "Unreachable", operations=2, seconds=20)
    page = operator.see("providers/")
    assert "Some operations fail." in page and "no answer" in page
    assert "<dd>10</dd>" in page and "2,040 ms" in page and "20,000 ms" in page


def test_a_provider_whose_operations_all_fail_is_not_well(operator: Operator):
    register_provider(Provider("payments"))
    minute("payments", "ServerError")
    assert 'class="verdict bad"' in operator.see("providers/")


def test_a_silent_remote_and_failing_objects_are_named(operator: Operator):
    Subscription.objects.create(
        name="pay", kind="event", follows=["blog.article.*"], silent_since=datetime.now(UTC), silent_cause=ATTACK
    )
    for number in range(3):
        Lane.objects.create(subscription_id="pay", model="blog.article", object_id=f"{number}", failure="unreachable")
    register_provider(Provider("payments", subscriptions=("pay",)))
    page = operator.see("providers/")
    assert "Does not answer." in page and "3 objects of pay: unreachable." in page
    assert ATTACK not in page and "&lt;script&gt;" in page


def test_freshness_is_shown_and_decides(operator: Operator):
    stale = Freshness(ATTACK, datetime(2026, 1, 1, tzinfo=UTC), is_well=False)
    register_provider(Provider("films", freshness=lambda: stale))
    page = operator.see("providers/")
    assert 'class="verdict bad"' in page and ATTACK not in page and "&lt;script&gt;" in page


def test_the_page_has_a_constant_number_of_queries(operator: Operator):
    register_provider(Provider("payments", subscriptions=("pay",)))
    with CaptureQueriesContext(connection) as few:
        operator.see("providers/")
    for number in range(30):
        minute(f"host-{number}.example", ATTACK)
    with CaptureQueriesContext(connection) as many:
        page = operator.see("providers/")
    assert len(many) <= len(few) and "host-29.example" in page and ATTACK not in page


def test_operations_are_counted_by_outcome():
    with measured("payments"):
        pass
    with pytest.raises(Unreachable), measured("payments"):
        raise Unreachable("no")
    with pytest.raises(KeyError), measured("payments"):
        raise KeyError
    counted = {figure.outcome: figure.operations for figure in take_figures()}
    assert counted == {"": 1, "Unreachable": 1} and take_figures() == []


def test_counted_series_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(figures, "MAX_SERIES", 2)
    for name in ("a", "b", "c", "a"):
        with measured(name):
            pass
    assert {figure.provider: figure.operations for figure in take_figures()} == {"a": 2, "b": 1}


def test_a_client_without_a_name_is_not_counted():
    """Its hosts may be many."""

    async def operate() -> None:
        async with HttpClient("http://of-a-customer.example") as client, client._operation(write=False):
            pass

    asyncio.run(operate())
    assert take_figures() == []


def test_a_worker_stores_what_it_has_counted():
    worker = BackgroundWorker([]).start()
    try:
        for expected in (1, 2):
            with measured("payments"):
                pass
            eventually(lambda: stored("payments") == expected, "the figures are stored")  # noqa: B023
    finally:
        worker.stop()


def stored(provider: str) -> int:
    return sum(row.operations for row in ProviderMinute.objects.filter(provider=provider))
