"""The drill of docs/operations.md, "Backup and restore": its commands, as they stand there, on a system that works.

A web server and a worker, a provider that is mirrored, a receiver of webhooks. There is a base backup under writes; a
moment is chosen; after it there are more writes, which are delivered; then the database is lost, and restored to that
moment. lockstep/tests/faults/ has the parts: what a database that was turned back does (test_turned_back.py), and what
dumps are restored as (test_restore.py).
"""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg
import pytest

from devstack.launcher import account, cluster, template
from devstack.launcher.postgres import Server
from devstack.sandbox.jsonplaceholder import StandIn
from lockstep.tests.kit.workers import WorkerProcess
from lockstep.webhooks.tests.receiver import Receiver, receiving
from tests.acceptance.running import ROOT
from tests.faults.processes import working
from tests.strangers.serving import serving
from tests.support import WAIT_TIMEOUT, eventually, superuser_url
from tests.support import drained as is_drained

pytestmark = [pytest.mark.faults, pytest.mark.needs("linux")]  # each takes half a minute and more

SECTION = "## Backup and restore: the drill"
DATA, BACKUPS = "/var/lib/postgresql/data", "/var/backups/lockstep"
MOMENT = "2026-11-30 02:00:00+00"
POSTS = "/fakeapi/v1/posts"
DIFFERENT = 2


def blocks() -> list[str]:
    """The commands of the section, a text for each block of lines."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.partition(f"{SECTION}\n")[2].partition("\n## ")[0]
    found = re.findall(r"(?:^ {4,}\S.*\n)+", section, re.MULTILINE)
    return [re.sub(r"^ {4,7}", "", block, flags=re.MULTILINE) for block in found]


@dataclass
class Drill:
    """Runs the blocks of the section, with this machine's folders in the place of those that stand there."""

    folder: Path
    environment: Mapping[str, str]
    moment: str = MOMENT
    left: list[str] = field(default_factory=blocks)

    def take(self, beginning: str) -> str:
        """The block that begins so; it is done then."""
        (block,) = (each for each in self.left if each.startswith(beginning))
        self.left.remove(block)
        return (
            block.replace(DATA, str(self.folder / "data")).replace(BACKUPS, self.backups).replace(MOMENT, self.moment)
        )

    @property
    def backups(self) -> str:
        return str(self.folder / "backups")

    def run(self, beginning: str) -> str:
        """What a block writes; it must succeed."""
        code, said = self.judge(f"set -e\n{self.take(beginning)}")
        assert code == 0, said
        return said

    def judge(self, script: str) -> tuple[int, str]:
        """The exit code of a script, and what it writes."""
        paths = [cluster.program("psql").parent, Path(sys.executable).parent, os.environ["PATH"]]
        environment = {**os.environ, **self.environment, "PATH": os.pathsep.join(map(str, paths))}
        done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


@dataclass
class Author:
    """A client that writes through the API, and keeps what was acknowledged: the latest title of each post."""

    client: httpx.Client
    titles: dict[int, str] = field(default_factory=dict)
    _edits: int = 0

    def subscribe(self, receiver: Receiver) -> None:
        """The receiver gets what happens to posts."""
        answer = self.client.post("/api/v1/webhooks/", json={"url": receiver.url, "events": ["posts.post.*"]})
        assert answer.status_code == 201, answer.text

    def create(self, name: str) -> int:
        answer = self.client.post(f"{POSTS}/create/", json={"title": f"{name} 0", "body": "of the drill"})
        assert answer.status_code == 201, answer.text
        number = int(answer.json()["id"])
        self.titles[number] = f"{name} 0"
        return number

    def edit(self, number: int) -> None:
        """Its title has the number of the edit behind its name, which rises."""
        self._edits += 1
        title = f"{self.titles[number].rpartition(' ')[0]} {self._edits}"
        answer = self.client.put(f"{POSTS}/update/{number}/", json={"title": title, "body": "of the drill"})
        assert answer.status_code == 200, answer.text
        self.titles[number] = title

    def delete(self, number: int) -> None:
        answer = self.client.delete(f"{POSTS}/delete/{number}/")
        assert answer.status_code == 204, answer.text
        del self.titles[number]

    @contextmanager
    def writing(self, name: str) -> Iterator[None]:
        """Goes on without a pause; at least ten posts are written."""
        ended, enough = threading.Event(), threading.Event()
        failed: list[BaseException] = []

        def write() -> None:
            try:
                n = 0
                while not (ended.is_set() and enough.is_set()):
                    number = self.create(f"{name}-{n}")
                    self.edit(number)
                    n += 1
                    if n == 10:
                        enough.set()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(WAIT_TIMEOUT)
        assert (failed, thread.is_alive()) == ([], False)


@dataclass
class System:
    """All that runs, and the receivers."""

    database: Server
    folder: Path
    provider: StandIn
    receiver: Receiver
    token: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database.url,
            "DEBUG": "true",
            "POSTS_PROVIDER_URL": self.provider.url,
            "WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
            "COUNTER_URL": "",
            "LOG_LEVEL": "WARNING",
        }

    def manage(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "backend", *words],
            cwd=ROOT, env={**os.environ, **self.environment}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def serving(self) -> Iterator[tuple[Author, WorkerProcess]]:
        """A web server with a client of it, and a worker."""
        with (
            serving(self.folder, **self.environment) as server,
            server.client(self.token) as client,
            working(self.database.url, self.folder, **self.environment) as worker,
        ):
            yield Author(client), worker
            assert worker.stop(WAIT_TIMEOUT) == 0, worker.said

    def at_provider(self) -> dict[str, int]:
        """How many posts of each title the provider has."""
        titles = [row["title"] for row in self.provider.rows("posts")]
        return {title: titles.count(title) for title in titles}

    def rows(self) -> dict[int, str]:
        """The titles of all posts in the database."""
        with psycopg.connect(self.database.url) as own:
            return dict(own.execute("SELECT number, title FROM posts_post WHERE deleted IS NULL").fetchall())

    def until_delivered(self, author: Author) -> None:
        """The provider and the receiver of webhooks have all that was written last."""
        wanted = set(author.titles.values())
        eventually(lambda: wanted <= set(self.at_provider()), "the provider to have all")
        eventually(lambda: wanted <= {title for _, _, title in arrivals(self.receiver)}, "the receiver to have all")


def arrivals(receiver: Receiver, since: int = 0) -> list[tuple[str, str, str]]:
    """Message id, object and title of what arrived, in its order."""
    found = []
    for request in receiver.requests[since:]:
        data: dict[str, Any] = orjson.loads(request.body)["data"]
        found.append((request.headers["webhook-id"], data["id"], (data["after"] or {}).get("title", "")))
    return found


def assert_in_order(arrived: list[tuple[str, str, str]]) -> None:
    """The first arrivals of each object rise by the number of the edit."""
    seen: set[str] = set()
    latest: dict[str, int] = {}
    for message, thing, title in arrived:
        if title and message not in seen:
            number = int(title.rpartition(" ")[2])
            assert number >= latest.get(thing, 0), (thing, title, latest[thing])
            latest[thing] = number
        seen.add(message)


@pytest.fixture
def system(home: Path) -> Iterator[System]:
    """A database that archives as the document says, with an import behind it."""
    template.copy_to(home / "data")
    archive = home / "backups" / "wal"
    archive.mkdir(parents=True)
    for folder in (archive.parent, archive):
        folder.chmod(0o755)
    if owner := account.for_postgres(home / "data", cluster.program("initdb")):
        account.give_tree(owner, archive.parent)
    written = Drill(home, {}).take("archive_mode")
    settings = dict(re.findall(r"^(\w+) = '?(.*?)'?$", written, re.MULTILINE))
    assert list(settings) == ["archive_mode", "archive_command", "archive_timeout"]
    with ExitStack() as stack:
        provider = stack.enter_context(StandIn(posts=3, comments_per_post=1))
        receiver = stack.enter_context(receiving())
        database = Server(home / "data", durable=False, settings={**settings, "full_page_writes": "on"})
        stack.callback(lambda: system.database.stop())
        database.start()
        system = System(database, home, provider, receiver)
        system.manage("import_data_from_api")
        system.token = system.manage("setup_testing_user").split()[-1]
        yield system


def archive_all(database: Server) -> None:
    """What `archive_timeout` does within a minute."""
    with psycopg.connect(superuser_url(database.url), autocommit=True) as own:
        row = own.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        assert row
        archived = "SELECT last_archived_wal >= %s FROM pg_stat_archiver"
        eventually(lambda: own.execute(archived, [row[0]]).fetchone() == (True,), "the log to be archived")


def test_a_restore_to_a_moment(system: System, home: Path):
    port = system.database.port
    backup_url = f"postgresql://lockstep_backup:backup-password@127.0.0.1:{port}"
    drill = Drill(home, {**system.environment, "BACKUP_URL": backup_url})
    drill.take("archive_mode")  # the fixture has done it
    with psycopg.connect(superuser_url(system.database.url), autocommit=True) as own:
        own.execute(drill.take("CREATE ROLE"))

    with system.serving() as (author, _):
        author.subscribe(system.receiver)
        with author.writing("early"):
            said = drill.run("pg_basebackup")
        assert "backup successfully verified" in said
        kept, edited, deleted = (author.create(name) for name in ("kept", "edited", "deleted"))
        system.until_delivered(author)
        eventually(lambda: drained(system), "all to be settled")
        system.provider.faults(status=503)  # so that this one is committed before the moment, and arrives after it
        author.create("in between")
        before = dict(author.titles)
        with psycopg.connect(system.database.url) as own:
            drill.moment = str((own.execute("SELECT clock_timestamp()").fetchone() or ("",))[0])
        system.provider.faults()
        author.create("lost")
        for _ in range(40):  # a recovered sequence leaves out up to 32 numbers; beyond them it draws them again
            author.edit(edited)
        author.delete(deleted)
        system.until_delivered(author)
        eventually(lambda: "deleted 0" not in system.at_provider(), "the provider to have the deletion")
        archive_all(system.database)
    highest = highest_seq(system)
    delivered = {message for message, _, _ in arrivals(system.receiver)}
    assert_in_order(arrivals(system.receiver))
    since = len(system.receiver.requests)

    system.database.kill()
    shutil.rmtree(home / "data")  # the disaster
    drill.run("cp -a")
    system.database = Server(home / "data", durable=False, port=port)
    system.database.start()
    with psycopg.connect(system.database.url, autocommit=True) as own:
        eventually(lambda: own.execute("SELECT pg_is_in_recovery()").fetchone() == (False,), "the recovery to end")
    restored = system.rows()
    assert {number: restored.get(number) for number in before} == before
    assert "lost 0" not in restored.values()

    with system.serving() as (author, worker):
        eventually(lambda: "it is on timeline 2 now" in worker.said, "the worker to notice")
        author.titles = dict(before)
        eventually(lambda: drained(system), "what had not been delivered to go out")
        commands = drill.take("python -m backend lockstep audit").splitlines()
        audit, plan = commands
        (orphan,) = (row["id"] for row in system.provider.rows("posts") if row["title"] == "lost 0")
        code, said = drill.judge(audit)
        assert (code, "posts.post: rows = log" in said, f"posts {orphan}" in said) == (DIFFERENT, True, True), said
        code, said = drill.judge(plan)
        assert (code, f"- delete posts {orphan}\n" in said) == (DIFFERENT, True), said
        drill.run("python -m backend sync_with_fake_system\n")
        assert drill.judge(plan)[0] == 0
        code, said = drill.judge(audit)
        assert code == 0, said
        provider = system.at_provider()
        assert {title: provider.get(title) for title in before.values()} == dict.fromkeys(before.values(), 1)
        assert "lost 0" not in provider

        assert highest_seq(system) < highest
        for number in (kept, edited, author.create("new")):
            for _ in range(3):
                author.edit(number)
        system.until_delivered(author)
        eventually(lambda: drained(system), "all to be delivered")
    arrived = arrivals(system.receiver, since)
    assert_in_order(arrived)
    written_since = {message for message, _, title in arrived if title not in before.values()}
    assert len(written_since) == 10
    assert not written_since & delivered
    assert {title for message, _, title in arrived if message in delivered} <= {"in between 0"}, "delivered, and again"
    assert drill.judge(plan)[0] == 0
    assert epochs(system) == [(1, 1), (2, 2)]
    assert [block.split()[0] for block in drill.left] == ["pg_dump", "pg_restore"]


def test_a_restore_of_a_dump(system: System, home: Path):
    drill = Drill(home, dict(system.environment))
    with system.serving() as (author, _):
        author.subscribe(system.receiver)
        author.create("kept")
        system.until_delivered(author)
        kept = dict(author.titles)
        with author.writing("meanwhile"):
            drill.run("pg_dump")
        system.until_delivered(author)
    old, dumped = system.database, system.rows()
    with Server(home / "other", durable=False) as other:
        drill.environment = {**system.environment, "NEW_DATABASE_URL": other.url, "DATABASE_URL": other.url}
        said = drill.run("pg_restore")
        assert "jsonplaceholder" in said
        old.stop()
        system.database = other
        restored = system.rows()
        with system.serving() as (author, _):
            author.create("new")
            eventually(lambda: drained(system), "all to be delivered")
            drill.judge("python -m backend sync_with_fake_system")
            code, said = drill.judge("python -m backend lockstep audit")
            assert code == 0, said
            assert {"kept 0", "new 0"} <= set(system.at_provider())
        assert set(restored) <= set(dumped)
        assert restored.items() >= kept.items()
        assert len(epochs(system)) == 2


def drained(system: System) -> bool:
    """Nothing waits in a lane, and all is fanned out."""
    with psycopg.connect(system.database.url, autocommit=True) as own:
        return is_drained(own)


def highest_seq(system: System) -> int:
    """The number of the latest change."""
    with psycopg.connect(system.database.url) as own:
        return int((own.execute("SELECT max(seq) FROM lockstep_change").fetchone() or (0,))[0])


def epochs(system: System) -> list[tuple[int, int]]:
    """Number and timeline of each life of the database."""
    with psycopg.connect(system.database.url) as own:
        return own.execute("SELECT number, timeline FROM lockstep_epoch ORDER BY number").fetchall()
