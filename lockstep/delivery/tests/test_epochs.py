"""A dump in another cluster: refused until a new epoch begins, and then nothing is left out."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from conftest import database_url
from lockstep.delivery import epochs
from lockstep.delivery.epochs import Busy, ClusterMismatch, SameCluster, begin_new_epoch, preview_new_epoch
from lockstep.delivery.subscriptions import Change
from lockstep.delivery.tests.support import (
    EPOCHS,
    Steps,
    begin_epoch,
    insert_post,
    rename_post,
    subscriber,
    waiting,
)
from lockstep.delivery.worker import Worker
from tests.support import another_role, without_triggers

OF_ANOTHER_CLUSTER = "INSERT INTO lockstep_epoch (number, timeline, system_identifier) VALUES (1, 1, '1')"
# What restores a dump makes the indexes when the rows are there.
INDEXES_MADE_LAST = """
    ALTER TABLE lockstep_change DROP CONSTRAINT lockstep_change_pkey, ADD PRIMARY KEY (seq, at);
    DROP INDEX lockstep_change_window, lockstep_change_history;
    CREATE INDEX lockstep_change_window ON lockstep_change (xid, seq);
    CREATE INDEX lockstep_change_history ON lockstep_change (object_id, seq)
"""
# How much further the old cluster's transactions had come. With none, the ids of what was restored are a little below
# those of the transactions that restored it.
AGES = (1_000_000_000, 0)


@pytest.fixture
def restore(request: pytest.FixtureRequest, steps: Steps, database: psycopg.Connection) -> Callable[[], None]:
    """Makes this database look like one that was restored from another cluster."""

    ages = getattr(request, "param", AGES[0])

    def snapshot(column: str) -> str:
        parts = f"regexp_split_to_array({column}::text, '[:,]')"
        aged = f"ARRAY(SELECT part::bigint + {ages} FROM unnest({parts}) AS part WHERE part <> '')"
        return f"(SELECT a[1] || ':' || a[2] || ':' || array_to_string(a[3:], ',') FROM (SELECT {aged} AS a) AS ages)"

    def age() -> None:
        with database.transaction():
            with without_triggers(database, "lockstep_change"):
                database.execute(f"UPDATE lockstep_change SET xid = (xid::text::bigint + {ages})::text::xid8")
            database.execute(
                f"UPDATE lockstep_place SET window_start = {snapshot('window_start')}::pg_snapshot,"
                f" window_end = CASE WHEN window_end IS NOT NULL THEN {snapshot('window_end')}::pg_snapshot END"
            )
            database.execute("DELETE FROM lockstep_epoch")
            database.execute(OF_ANOTHER_CLUSTER)
            database.execute(INDEXES_MADE_LAST)

    return age


def begin_together(work: Callable[[psycopg.Connection], Any]) -> list[Any]:
    """What eight connections get that do something in the same moment."""
    barrier = Barrier(8)

    def run() -> Any:
        with psycopg.connect(database_url(), autocommit=True) as connection:
            barrier.wait()
            return work(connection)

    with ThreadPoolExecutor(8) as pool:
        return [future.result() for future in [pool.submit(run) for _ in range(8)]]


async def first_epoch() -> UUID:
    """What message ids are made with, as a worker reads it."""
    async with await psycopg.AsyncConnection.connect(database_url(), autocommit=True) as connection:
        rows = await (await connection.execute(epochs.EPOCHS["epochs"])).fetchall()
    return rows[0][0]


def titles(database: psycopg.Connection) -> list[str]:
    return sorted(title for _, title in waiting(database))


def test_a_worker_refuses_a_foreign_database(restore: Callable[[], None]):
    restore()
    with pytest.raises(ClusterMismatch):
        asyncio.run(Worker([]).run())


@pytest.mark.parametrize("restore", AGES, indirect=True)
def test_a_new_epoch_fans_out_exactly_the_missing_changes(
    restore: Callable[[], None], steps: Steps, database: psycopg.Connection
):
    steps.declare(subscriber())
    insert_post(database, "delivered")
    steps.deliver_all(subscriber())
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
    delivered = [claim.change.after["title"] for claim in steps.deliver_all(subscriber())]
    assert sorted(delivered) == sorted([*everything, "new"])


def test_an_open_window_continues_where_it_stopped(
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


def test_transaction_ids_of_the_old_cluster_are_rewritten(
    restore: Callable[[], None], steps: Steps, database: psycopg.Connection
):
    steps.declare(subscriber())
    post = insert_post(database, "a")
    steps.deliver_all(subscriber())
    restore()
    begin_new_epoch()
    oldest = database.execute("SELECT max(xid::text::bigint) FROM lockstep_change").fetchone()
    assert oldest == (3,)
    with pytest.raises(psycopg.errors.RestrictViolation):  # and the log is append-only again
        database.execute("UPDATE lockstep_change SET actor = 'me'")
    rename_post(database, post, "b")
    assert [claim.change.after["title"] for claim in steps.deliver_all(subscriber())] == ["b"]


def test_message_ids_of_different_changes_differ():
    """A database that turned back draws the same numbers again, and may come to the same moment for another object."""
    change = Change(seq=7, at=datetime(2026, 11, 21, tzinfo=UTC), model="posts.post", object_id="1", kind="created",
                    before=None, after={})  # fmt: skip
    others = [
        replace(change, seq=8),
        replace(change, at=change.at + timedelta(microseconds=1)),
        replace(change, model="posts.comment"),
        replace(change, object_id="2"),
    ]
    ids = [EPOCHS.message_id(one, "test") for one in (change, *others)] + [EPOCHS.message_id(change, "other")]
    assert len(set(ids)) == 6
    elsewhere = replace(change, at=change.at.astimezone(timezone(timedelta(hours=5))))
    assert EPOCHS.message_id(elsewhere, "test") == ids[0]


def test_a_new_epoch_does_not_change_message_ids(
    restore: Callable[[], None], steps: Steps, database: psycopg.Connection
):
    steps.declare(subscriber())
    insert_post(database, "a")
    restore()
    before = asyncio.run(first_epoch())
    begin_new_epoch()
    assert asyncio.run(first_epoch()) == before


def test_workers_that_begin_together_make_one_first_epoch(transactional_db: None, database: psycopg.Connection):
    begin_together(lambda connection: connection.execute(epochs.EPOCHS["begin_first"]))
    assert database.execute("SELECT number FROM lockstep_epoch").fetchall() == [(1,)]


def test_a_timeline_is_noted_once(database: psycopg.Connection):
    begin_epoch(database)
    database.execute("UPDATE lockstep_epoch SET timeline = 99, dropped = 5")
    noted = begin_together(lambda connection: connection.execute(epochs.EPOCHS["note_timeline"]).fetchone())
    assert len([one for one in noted if one]) == 1
    rows = database.execute("SELECT number, dropped FROM lockstep_epoch ORDER BY number").fetchall()
    assert rows == [(1, 5), (2, 5)]


def test_a_prepared_transaction_is_not_waited_for_for_ever(
    restore: Callable[[], None], steps: Steps, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("lockstep.delivery.epochs.LOCK_TIMEOUT", "SET LOCAL lock_timeout = '50ms'")
    restore()
    with psycopg.connect(database_url()) as writer:
        insert_post(writer, "a")
        with pytest.raises(Busy, match="pg_prepared_xacts"):
            begin_new_epoch()
    begin_new_epoch()


def test_there_is_no_new_epoch_without_need(steps: Steps, database: psycopg.Connection):
    begin_epoch(database)
    with pytest.raises(SameCluster):
        begin_new_epoch()
    with pytest.raises(CommandError, match="no new epoch is needed"):
        call_command("lockstep", "new-epoch", "--plan")


def test_new_epoch_by_another_role_names_the_owner(restore: Callable[[], None]):
    restore()
    with another_role(database_url(), "of_the_web"):
        try:
            with connection.cursor() as session:
                session.execute("SET ROLE of_the_web")
            with pytest.raises(CommandError, match="owner of the tables"):
                call_command("lockstep", "new-epoch")
        finally:
            connection.close()


def test_the_command_shows_before_it_acts(restore: Callable[[], None], steps: Steps, database: psycopg.Connection):
    steps.declare(subscriber())
    insert_post(database, "a")
    restore()
    out = StringIO()
    call_command("lockstep", "new-epoch", "--plan", stdout=out)
    assert out.getvalue() == "test: changes to send: 1\n"
    assert waiting(database) == []
    out = StringIO()
    call_command("lockstep", "new-epoch", stdout=out)
    assert out.getvalue() == "test: changes to send: 1\nA new epoch has begun. Start the workers.\n"
    assert len(waiting(database)) == 1
