"""The counter hears of what is created and deleted, as the predecessor's did."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from backend.defects.broadcast import COUNTER, NAME
from backend.defects.gap import counter_check, expected_tallies
from backend.defects.models import Defect
from backend.providers.counter import Tally
from devstack.sandbox.counter import StandIn
from lockstep.delivery import operations
from lockstep.delivery.reports import ChangeFilter
from lockstep.webhooks.tests.receiver import Receiver, receiving
from tests.support import BackgroundWorker, Cast, drained, eventually, without_triggers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PATH = "/api/defects"


@contextmanager
def working(database: psycopg.Connection) -> Iterator[None]:
    """A worker for the counter only: other subscriptions receive nothing."""
    database.execute("DELETE FROM lockstep_subscription")
    worker = BackgroundWorker([COUNTER]).start()
    eventually(lambda: operations.status())
    yield
    worker.stop()


@pytest.fixture
def counter(settings, database: psycopg.Connection) -> Iterator[StandIn]:
    with StandIn() as counter:
        settings.COUNTER_URL = counter.url
        with working(database):
            yield counter


@pytest.fixture
def receiver(settings, database: psycopg.Connection) -> Iterator[Receiver]:
    with receiving() as receiver:
        settings.COUNTER_URL = receiver.url
        with working(database):
            yield receiver


def report(cast: Cast, comment: str = "a") -> str:
    return f"{PATH}/{cast.owner.post(PATH, {'comment': comment}).json()['id']}"


def sooner(database: psycopg.Connection) -> bool:
    """What waits to be tried again is due now."""
    database.execute("UPDATE lockstep_lane SET next_at = now() WHERE failure IS NOT NULL")
    return True


def gap(*arguments: str) -> str:
    said = StringIO()
    call_command("counter_gap", *arguments, stdout=said)
    return said.getvalue()


def advice() -> str:
    """The output of counter_gap if there is a gap."""
    said = StringIO()
    with pytest.raises(SystemExit):
        call_command("counter_gap", stdout=said)
    return re.split(r"deletions?\. ", said.getvalue().strip())[-1]


def test_the_body_has_exactly_the_specified_fields(
    cast: Cast, settings, receiver: Receiver, database: psycopg.Connection
):
    path = report(cast)
    cast.colleague.client.put(path, {"comment": "b"}, content_type="application/json")
    cast.owner.delete(path)
    eventually(lambda: len(receiver.requests) == 2)
    eventually(lambda: drained(database))
    number = cast.owner.user.number
    events = [request.verified(settings.COUNTER_SECRET) for request in receiver.requests]
    assert events == [{"user": number, "action": "create"}, {"user": number, "action": "delete"}]
    assert [request.path for request in receiver.requests] == ["/hook"] * 2  # the very address
    assert len(set(receiver.ids)) == 2


def test_a_repeat_has_the_same_id(cast: Cast, counter: StandIn, database: psycopg.Connection):
    """It was counted, and its answer was lost."""
    counter.faults(status=500, after_effect=True, times=1)
    report(cast)
    eventually(lambda: counter.shown()["messages"] == 1)
    eventually(lambda: sooner(database) and counter.shown()["repeats"] == 1)
    assert counter.shown()["users"] == {str(cast.owner.user.number): {"create": 1, "delete": 0}}


def test_the_counter_receives_every_defect_whatever_wrote_it(
    cast: Cast, counter: StandIn, database: psycopg.Connection
):
    Defect.objects.bulk_create([Defect(user=cast.owner.user, comment=f"{n}") for n in range(30)])
    Defect.objects.filter(comment__gte="2").update(deleted=Now())
    database.execute("INSERT INTO defects_defect (user_id, comment) SELECT number, 'psql' FROM accounts_user")
    eventually(lambda: drained(database))
    gone = Defect.objects.exclude(deleted=None).count()
    assert gone
    assert counter.shown()["users"][str(cast.owner.user.number)] == {"create": 31, "delete": gone}
    assert counter.shown()["users"][str(cast.staff.user.number)] == {"create": 1, "delete": 0}
    assert "No gap" in gap()
    assert counter_check().differing == []


def test_a_gap_is_found_and_closed(cast: Cast, counter: StandIn, database: psycopg.Connection):
    """What the counter refuses is a dead letter; sent again it is counted, and nothing twice."""
    report(cast)
    eventually(lambda: drained(database))
    counter.faults(status=422, times=1)
    report(cast)
    eventually(lambda: operations.dead_letters(ChangeFilter(NAME)))
    with pytest.raises(SystemExit) as left:
        gap("--json")
    assert left.value.code == 2
    assert counter_check().differing == [f"user {cast.owner.user.number}"]
    operations.rewind(NAME)
    eventually(lambda: counter.shown()["messages"] == 2)
    eventually(lambda: drained(database))
    assert counter.shown()["repeats"] == 1
    assert "No gap" in gap()


def test_counter_gap_names_the_remedy(cast: Cast, counter: StandIn, database: psycopg.Connection):
    operations.pause(NAME, reason="the counter moves")
    report(cast)
    assert advice() == f"{NAME} is paused (the counter moves): `manage.py lockstep resume {NAME}` lets it go on."
    counter.faults(status=422, times=1)
    operations.resume(NAME)
    eventually(lambda: operations.dead_letters(ChangeFilter(NAME)))
    assert advice().startswith("1 message refused")
    operations.discard_letters(ChangeFilter(NAME), reason="nobody needs it")
    assert advice().startswith("Nothing is on its way")


def test_defects_older_than_the_log_are_counted_from_rows(cast: Cast, database: psycopg.Connection):
    first, second = report(cast), report(cast)
    cast.owner.delete(first)
    whole = expected_tallies()
    assert whole == {cast.owner.user.number: Tally(2, 1)}
    with database.transaction(), without_triggers(database, "lockstep_change"):
        database.execute("DELETE FROM lockstep_change WHERE model = 'defects.defect'")
    assert expected_tallies() == whole
    cast.owner.delete(second)
    assert expected_tallies() == {cast.owner.user.number: Tally(2, 2)}


def test_a_counter_that_cannot_be_read_is_reported(cast: Cast, settings, counter: StandIn):
    for fault in ({"status": 500}, {"garbage": True}, {"cut": True}):
        counter.faults(**fault)
        with pytest.raises(CommandError, match="cannot be read"):
            gap()
        finding = counter_check()
        assert (finding.differing, "the counter could not be read" in finding.not_compared) == ([], True)
    settings.COUNTER_URL = ""
    with pytest.raises(CommandError, match="set COUNTER_URL"):
        gap()
