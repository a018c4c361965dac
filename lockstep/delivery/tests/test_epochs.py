"""A dump in another cluster: refused until a new epoch begins, and then nothing is left out."""

from collections.abc import Callable
from io import StringIO
from uuid import UUID

import psycopg
import pytest
from django.core.management import CommandError, call_command

from conftest import database_url
from lockstep.delivery.epochs import Epochs, ForeignDatabase, SameCluster, begin_new_epoch, preview_new_epoch
from lockstep.delivery.subscriptions import Claim
from lockstep.delivery.tests.support import Steps, insert_post, rename_post, subscriber, waiting
from lockstep.delivery.worker import Worker
from tests.support import without_triggers

AGES = 1_000_000_000  # how much further the old cluster's transactions had come


@pytest.fixture
def restore(steps: Steps, database: psycopg.Connection) -> Callable[[], None]:
    """Makes this database look like one that was restored from an older cluster."""

    def snapshot(column: str) -> str:
        parts = f"regexp_split_to_array({column}::text, '[:,]')"
        aged = f"ARRAY(SELECT part::bigint + {AGES} FROM unnest({parts}) AS part WHERE part <> '')"
        return f"(SELECT a[1] || ':' || a[2] || ':' || array_to_string(a[3:], ',') FROM (SELECT {aged} AS a) AS ages)"

    def age() -> None:
        with database.transaction():
            with without_triggers(database, "changes_change"):
                database.execute(f"UPDATE changes_change SET xid = (xid::text::bigint + {AGES})::text::xid8")
            database.execute(
                f"UPDATE delivery_subscription SET window_start = {snapshot('window_start')}::pg_snapshot,"
                f" window_end = CASE WHEN window_end IS NOT NULL THEN {snapshot('window_end')}::pg_snapshot END"
            )
            database.execute("DELETE FROM delivery_epoch")
            database.execute("INSERT INTO delivery_epoch (system_identifier) VALUES ('1')")

    return age


def titles(database: psycopg.Connection) -> list[str]:
    return sorted(title for _, title in waiting(database))


def deliver_all(steps: Steps) -> list[Claim]:
    """Everything that can be delivered now, in the order of the lanes."""
    found: list[Claim] = []
    while steps.behind() and steps.fan_out():
        pass
    while claims := steps.claim(subscriber()):
        found += claims
        steps.settle(*claims)
    return found


def test_a_worker_refuses_a_foreign_database(restore: Callable[[], None]):
    import asyncio

    restore()
    with pytest.raises(ForeignDatabase):
        asyncio.run(Worker([]).run())


def test_a_new_epoch_places_exactly_what_the_old_life_had_not(
    restore: Callable[[], None], steps: Steps, database: psycopg.Connection
):
    steps.declare(subscriber())
    insert_post(database, "delivered")
    deliver_all(steps)
    insert_post(database, "in a lane")
    steps.fan_out()
    with psycopg.connect(database_url()) as slow:
        insert_post(slow, "late")
        insert_post(database, "passed by")
        steps.fan_out()
        insert_post(database, "behind")
        slow.commit()
    restore()
    with psycopg.connect(database_url(), autocommit=True) as native, native.transaction(), native.transaction():
        insert_post(native, "written since, in a savepoint")
    insert_post(database, "written since")
    assert preview_new_epoch() == {"test": 4}
    assert titles(database) == ["in a lane", "passed by"]
    assert begin_new_epoch() == {"test": 4}
    everything = ["behind", "in a lane", "late", "passed by", "written since", "written since, in a savepoint"]
    assert titles(database) == everything
    assert steps.behind() == []
    insert_post(database, "new")
    assert sorted(claim.change.after["title"] for claim in deliver_all(steps)) == sorted([*everything, "new"])


def test_a_window_that_was_under_way_goes_on_where_it_was(
    restore: Callable[[], None], steps: Steps, database: psycopg.Connection
):
    steps.declare(subscriber())
    for n in range(10):
        insert_post(database, f"{n}")
    steps.fan_out(chunk=4)
    assert len(waiting(database)) == 4
    restore()
    begin_new_epoch()
    assert titles(database) == [f"{n}" for n in range(10)]


def test_the_old_transactions_never_come_up_again(
    restore: Callable[[], None], steps: Steps, database: psycopg.Connection
):
    steps.declare(subscriber())
    post = insert_post(database, "a")
    deliver_all(steps)
    restore()
    begin_new_epoch()
    oldest = database.execute("SELECT max(xid::text::bigint) FROM changes_change").fetchone()
    assert oldest == (3,)
    with pytest.raises(psycopg.errors.RestrictViolation):  # and the log is append-only again
        database.execute("UPDATE changes_change SET actor = 'me'")
    rename_post(database, post, "b")
    assert [claim.change.after["title"] for claim in deliver_all(steps)] == ["b"]


def test_what_is_older_keeps_its_message_id_and_a_number_that_is_drawn_again_gets_another():
    """The old life may have given the same number to a change that is lost."""
    first, second = UUID(int=1), UUID(int=2)
    before, after = Epochs([(0, first)]), Epochs([(100, second), (0, first)])
    assert before.message_id(99, "test") == after.message_id(99, "test")
    assert before.message_id(100, "test") != after.message_id(100, "test")


def test_there_is_no_new_epoch_without_need(steps: Steps, database: psycopg.Connection):
    from lockstep.delivery.tests.support import begin_epoch

    begin_epoch(database)
    with pytest.raises(SameCluster):
        begin_new_epoch()
    with pytest.raises(CommandError, match="no reason"):
        call_command("delivery", "new-epoch", "--plan")


def test_the_command_shows_before_it_acts(restore: Callable[[], None], steps: Steps, database: psycopg.Connection):
    steps.declare(subscriber())
    insert_post(database, "a")
    restore()
    out = StringIO()
    call_command("delivery", "new-epoch", "--plan", stdout=out)
    assert out.getvalue() == "test: changes to send: 1\n"
    assert waiting(database) == []
    out = StringIO()
    call_command("delivery", "new-epoch", stdout=out)
    assert out.getvalue() == "test: changes to send: 1\nA new epoch has begun. Start the workers.\n"
    assert len(waiting(database)) == 1
