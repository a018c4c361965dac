"""A dump restored into another cluster: refused, shown, begun anew.

Nothing that had been delivered goes out again, and nothing that was not, or was written since, is passed over:
whichever way the dump was restored, and whether the other cluster's transactions have come further or not.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from faults.articles import insert_article, rename_article, subscriber
from faults.processes import manage
from kit.servers import database_url, superuser_url
from kit.steps import Steps, begin_epoch

from devstack.launcher import cluster
from devstack.launcher.postgres import Server
from lockstep.delivery.subscriptions import Claim

pytestmark = [pytest.mark.needs("linux")]

Restore = Callable[[str, str, Path], None]
FURTHER = 20_000  # transactions


@pytest.fixture
def other(home: Path) -> Iterator[str]:
    """The address of an empty database in a cluster of its own, whose transactions have not come far."""
    with Server(home / "postgres", durable=False) as server:
        yield server.url


def run(program: str, *words: str) -> None:
    subprocess.run([cluster.program(program), *words], check=True, stdout=subprocess.DEVNULL)


def plain(*options: str) -> Restore:
    """A dump of SQL statements, run by psql."""

    def restore(source: str, target: str, folder: Path) -> None:
        dump = str(folder / "dump.sql")
        run("pg_dump", "--no-owner", *options, f"--file={dump}", source)
        run("psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--file={dump}", target)

    return restore


def archive(*options: str) -> Restore:
    """A dump for pg_restore."""

    def restore(source: str, target: str, folder: Path) -> None:
        dump = str(folder / "dump")
        run("pg_dump", "--format=custom", f"--file={dump}", source)
        run("pg_restore", "--no-owner", *options, f"--dbname={target}", dump)

    return restore


def one_transaction(source: str, target: str, folder: Path) -> None:
    """A dump of SQL statements, run by psql in one transaction."""
    dump = str(folder / "dump.sql")
    run("pg_dump", "--no-owner", f"--file={dump}", source)
    run("psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--single-transaction", f"--file={dump}", target)


def rows_alone(source: str, target: str, folder: Path) -> None:
    """The tables are there before, with their indexes and triggers, which a superuser alone can switch off."""
    plain("--schema-only")(source, target, folder)
    plain("--data-only", "--disable-triggers")(source, superuser_url(target), folder)


def go_further(url: str) -> None:
    """Draws transaction ids, so that this cluster has come further than others."""
    with psycopg.connect(url, autocommit=True) as connection:
        loop = f"FOR i IN 1..{FURTHER} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP"
        connection.execute(f"DO $$ BEGIN {loop}; END $$")


@dataclass(frozen=True)
class Sent:
    """What a life of the database delivered, and what is left, by title."""

    delivered: dict[str, UUID]
    left: list[str]


def live(steps: Steps, database: psycopg.Connection) -> Sent:
    """Some changes that were delivered, and one of each kind that was not; a window is under way."""
    begin_epoch(database)
    steps.declare(subscriber())
    for n in range(20):
        insert_article(database, f"delivered {n}")
    delivered = {title(claim): claim.message_id for claim in steps.deliver_all(subscriber())}
    post = insert_article(database, "in a lane")
    steps.fan_out()
    with psycopg.connect(database_url()) as slow:
        insert_article(slow, "late")
        for n in range(4):
            insert_article(database, f"window {n}")
        steps.fan_out(chunk=2)
        rename_article(database, post, "behind")
        slow.commit()
    left = ["in a lane", "late", *(f"window {n}" for n in range(4)), "behind"]
    return Sent(delivered, left)


def title(claim: Claim) -> str:
    assert claim.change.after
    return str(claim.change.after["title"])


def write_since(url: str) -> list[str]:
    """Writes after the restore and before anything else is done."""
    with psycopg.connect(url, autocommit=True) as connection:
        insert_article(connection, "since")
        with connection.transaction(), connection.transaction():
            insert_article(connection, "since, in a savepoint")
    return ["since", "since, in a savepoint"]


def test_a_restored_dump_is_refused_until_a_new_epoch_begins(
    steps: Steps, database: psycopg.Connection, other: str, home: Path
):
    go_further(database_url())
    sent = live(steps, database)
    archive()(database_url(), other, home)
    refused = manage(other, "lockstep", "worker")
    assert (refused.returncode, "lockstep new-epoch" in refused.stderr) == (1, True), refused.stderr
    since = write_since(other)
    assert "test: changes to send: 6" in manage(other, "lockstep", "new-epoch", "--plan").stdout
    begun = manage(other, "lockstep", "new-epoch")
    assert begun.returncode == 0, begun.stderr
    with closing(Steps(other)) as there:
        assert sorted(map(title, there.deliver_all(subscriber()))) == sorted([*sent.left, *since])
        assert there.behind() == []
    assert "blog.article: rows = log" in manage(other, "lockstep", "audit", "--no-outside").stdout


WAYS = {
    "plain": plain(),
    "plain, by INSERT": plain("--rows-per-insert=7"),
    "plain, in one transaction": one_transaction,
    "archive": archive(),
    "archive, side by side": archive("--jobs=3"),
    "archive, in one transaction": archive("--single-transaction"),
    "archive, in several transactions": archive("--transaction-size=5"),
    "rows alone": rows_alone,
}


@pytest.mark.faults
@pytest.mark.parametrize("is_further", [False, True], ids=["lower transaction ids", "higher transaction ids"])
@pytest.mark.parametrize("way", WAYS)
def test_what_was_delivered_stays_so_and_nothing_else_is_lost(
    steps: Steps, database: psycopg.Connection, other: str, home: Path, way: str, is_further: bool
):
    go_further(other if is_further else database_url())
    sent = live(steps, database)
    WAYS[way](database_url(), other, home)
    since = write_since(other)
    begun = manage(other, "lockstep", "new-epoch")
    assert begun.returncode == 0, begun.stderr
    with closing(Steps(other)) as there:
        claims = there.deliver_all(subscriber())
    again = [claim for claim in claims if title(claim) in sent.delivered]
    assert sorted(title(claim) for claim in claims if claim not in again) == sorted([*sent.left, *since])
    if way == "rows alone":  # they may go out once more, under the id that they had
        assert all(claim.message_id == sent.delivered[title(claim)] for claim in again)
    else:
        assert again == []
