"""kill -9 of the worker, the web server and PostgreSQL at random, while people write: nothing is lost, nothing doubles.

Each writer owns its posts and numbers its writes. What was acknowledged must be at the provider in the end; what got no
answer may be; what was rolled back must not; and no post may ever be seen to go back to an older version.
"""

import contextlib
import itertools
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from devstack.sandbox.jsonplaceholder import StandIn
from tests.acceptance.running import ROOT, Run, free_port
from tests.conftest import copied
from tests.support import drained, eventually

VICTIMS = {"worker": "manage.py lockstep worker", "web": "granian", "PostgreSQL": "bin/postgres -D"}
WRITERS, DEATHS = 4, 3  # at least


@dataclass
class Written:
    """What one writer knows of one post of its own."""

    title: str
    number: int | None = None  # none: the answer to its creation was lost
    acknowledged: int = -1  # the last version that was acknowledged
    tried: int = 0  # the last version that was sent
    deleted: bool = False
    deletion_tried: bool = False


class Writer(threading.Thread):
    """Creates, edits and deletes through the API until it has made its share of writes and enough have died."""

    def __init__(self, url: str, token: str, name: str, share: int, seed: int, enough: threading.Event) -> None:
        super().__init__(daemon=True, name=name)
        self.share, self.enough = share, enough
        self.posts: list[Written] = []
        self.random = random.Random(seed)
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    def run(self) -> None:
        for n in itertools.count():
            if n >= self.share and self.enough.is_set():
                return
            alive = [post for post in self.posts if post.number and not post.deletion_tried]
            if not alive or self.random.random() < 0.3:
                self.create(n)
            elif self.random.random() < 0.85:
                self.edit(self.random.choice(alive))
            else:
                self.delete(self.random.choice(alive))

    def send(self, method: str, path: str, body: object = None) -> httpx.Response | None:
        """The answer, or None when it is unknown whether the write happened."""
        try:
            answer = self.http.request(method, f"/fakeapi/v1/posts/{path}", json=body)
        except httpx.TransportError:
            time.sleep(0.05)  # the server is coming back
            return None
        return answer if answer.status_code < 500 else None

    def create(self, n: int) -> None:
        post = Written(f"{self.name}-{n}")
        self.posts.append(post)
        answer = self.send("POST", "create/", {"title": f"{post.title} v0", "body": "b"})
        if answer:
            assert answer.status_code == 201, answer.text
            post.number, post.acknowledged = answer.json()["id"], 0

    def edit(self, post: Written) -> None:
        post.tried += 1
        answer = self.send("PUT", f"update/{post.number}/", {"title": f"{post.title} v{post.tried}", "body": "b"})
        if answer:
            assert answer.status_code == 200, answer.text
            post.acknowledged = post.tried

    def delete(self, post: Written) -> None:
        post.deletion_tried = True
        answer = self.send("DELETE", f"delete/{post.number}/")
        post.deleted = answer is not None and answer.status_code in (204, 404)


class Watcher(threading.Thread):
    """Looks at the provider all the time and notes every post that went back to an older version."""

    def __init__(self, provider: StandIn) -> None:
        super().__init__(daemon=True)
        self.provider = provider
        self.latest: dict[str, int] = {}
        self.went_back: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(0.05):
            for title, version in versions(self.provider):
                if version < self.latest.get(title, 0):
                    self.went_back.append(f"{title}: {self.latest[title]} → {version}")
                self.latest[title] = version


def versions(provider: StandIn) -> list[tuple[str, int]]:
    """(title, version) of the posts that the writers made."""
    found = [re.fullmatch(r"(\w+-\d+) v(\d+)", row["title"]) for row in provider.rows("posts")]
    return [(match[1], int(match[2])) for match in found if match]


@pytest.fixture
def watcher(provider: StandIn) -> Iterator[Watcher]:
    thread = Watcher(provider)
    thread.start()
    yield thread
    thread.stopping.set()
    thread.join()


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn() as server:  # with what the system that is copied was filled from
        yield server


@pytest.fixture
def system(first_home: Path, home: Path, provider: StandIn) -> Iterator[Run]:
    run = Run(copied(first_home, home / "home"), free_port(), POSTS_PROVIDER_URL=provider.url)
    run.until_ready()
    yield run
    run.end()


def kill_at_random(run: Run, seed: int, writers: list[Writer], enough: threading.Event) -> None:
    """kill -9 of one of the three, again and again while there is a writer; sets `enough` after enough of them."""
    dice, deaths = random.Random(seed), 0
    while any(writer.is_alive() for writer in writers):
        time.sleep(dice.uniform(0.2, 1.2))
        victim = dice.choice(list(VICTIMS))
        with contextlib.suppress(ValueError, ProcessLookupError):  # it is still coming back from the last time
            os.kill(run.find(VICTIMS[victim]), signal.SIGKILL)
            deaths += 1
        if deaths >= DEATHS:
            enough.set()


def write_what_is_rolled_back(url: str) -> None:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
        connection.execute("INSERT INTO posts_post (title, body) VALUES ('never', 'b')")
        connection.execute("UPDATE posts_post SET title = 'never' WHERE number <= 20")
        connection.rollback()


@pytest.mark.needs("linux")
@pytest.mark.parametrize(
    ("writes", "seed"),
    [pytest.param(40, 1, marks=pytest.mark.slow), pytest.param(2_000, 2, marks=pytest.mark.faults)],
)
def test_everything_committed_is_at_the_provider_once_and_nothing_else(
    system: Run, provider: StandIn, watcher: Watcher, writes: int, seed: int
):
    token, enough = system.sign_in(), threading.Event()
    writers = [
        Writer(system.url, token, f"writer{n}", writes // WRITERS, seed * 100 + n, enough) for n in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    for _ in range(5):
        write_what_is_rolled_back(system.database_url)
    kill_at_random(system, seed, writers, enough)
    system.until_ready()
    settle(system)
    assert watcher.went_back == []
    assert_every_write_is_there([post for writer in writers for post in writer.posts], provider)
    assert sorted(titles_here(system)) == sorted(row["title"] for row in provider.rows("posts"))
    assert plan(system).returncode == 0


def settle(run: Run) -> None:
    """Waits until all is delivered. Leases of the killed end by themselves, which takes a while."""

    def done() -> bool:
        with psycopg.connect(run.database_url, autocommit=True) as connection:
            return drained(connection)

    eventually(done, "all deliveries", patience=180)


def assert_every_write_is_there(posts: list[Written], provider: StandIn) -> None:
    there = versions(provider)
    doubled = [title for title, count in Counter(title for title, _ in there).items() if count > 1]
    assert doubled == []
    assert "never" not in {row["title"] for row in provider.rows("posts")}
    version = dict(there)
    for post in posts:
        if post.deleted:
            assert post.title not in version, post
        elif post.title in version:
            assert post.acknowledged <= version[post.title] <= post.tried, (post, version[post.title])
        else:
            assert post.acknowledged < 0 or post.deletion_tried, post


def titles_here(run: Run) -> list[str]:
    with psycopg.connect(run.database_url) as connection:
        return [
            title for (title,) in connection.execute("SELECT title FROM posts_post WHERE deleted IS NULL").fetchall()
        ]


def plan(run: Run) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / ".venv/bin/python"), "manage.py", "sync_with_fake_system", "--plan"]
    return subprocess.run(command, cwd=ROOT, env=run.environment, capture_output=True, text=True)
