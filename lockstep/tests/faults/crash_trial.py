"""What crash trials share: a cluster of their own, writers, crashing workers, and the final oracle.

Everything committed was received, and nothing else was; per object first arrivals ascend; repeats share id and content;
what a writer was told is committed is.
"""

import contextlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from faults.articles import INSERT
from faults.crashing_worker import NAME
from faults.processes import settings
from kit.log import drained
from kit.servers import back_up, database_of, database_url
from kit.waiting import eventually

from devstack.launcher.postgres import Server

STATEMENTS = (
    "claim", "heads", "lock_claimed", "remove_delivered", "release_pending", "delete_empty", "postpone",
    "windows", "fan_out",
)  # fmt: skip
POINTS = [f"{when} {name}" for name in STATEMENTS for when in ("before", "after")] + ["sent"] * 4
OBJECTS = 40
WRITERS = 4


@dataclass
class CrashTrial:
    """One database, who writes to it, and who delivers from it."""

    server: Server
    folder: Path
    random: random.Random
    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    deaths: int = 0

    @property
    def log(self) -> Path:
        return self.folder / "received"

    @property
    def url(self) -> str:
        return database_of(self.server, database_url())

    # --- Writers

    def write(self, changes: int) -> list[threading.Thread]:
        """Starts writers that try so many transactions in all, and go on through any outage."""
        threads = [
            threading.Thread(target=self._write, args=(n, changes // WRITERS, self.random.random()), daemon=True)
            for n in range(WRITERS)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _write(self, number: int, changes: int, seed: float) -> None:
        own = random.Random(seed)
        keys = self.keys[number::WRITERS]
        done = 0
        while done < changes:
            try:
                with psycopg.connect(self.url, connect_timeout=2) as connection:
                    while done < changes:
                        self._transaction(connection, own, keys, f"{number}.{done}")
                        done += 1
            except psycopg.Error:
                done += 1  # whether it was committed, the log will tell
                time.sleep(0.05)

    def _transaction(self, connection: psycopg.Connection, own: random.Random, keys: list[str], title: str) -> None:
        chosen = sorted(own.sample(keys, own.choice([1, 1, 1, 2])))
        for key in chosen:
            connection.execute("UPDATE blog_article SET title = %s WHERE id = %s", [title, key])
        if own.random() < 0.1:
            connection.rollback()
            return
        connection.commit()
        self.acknowledged += [(key, title) for key in chosen]

    # --- Workers

    def start_worker(self, point: str = "never", times: int = 0, clock: float = 0.0) -> subprocess.Popen[bytes]:
        """One that dies at this point, the so many-th time."""
        words = [str(self.log), point, str(times), str(clock)]
        command = [sys.executable, "-m", "faults.crashing_worker", *words]
        worker = subprocess.Popen(command, env=settings(self.url), stderr=(self.folder / "stderr").open("ab"))
        self.workers.append(worker)
        return worker

    def start_crashing(self) -> subprocess.Popen[bytes]:
        """One that dies at a point and a time of the seed's choice."""
        return self.start_worker(self.random.choice(POINTS), self.random.randint(1, 40))

    def end_workers(self) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            worker.wait()
        self.workers = []

    def keep_killing(self, deaths: int, *, workers: int = 2, at_random: float = 0.3) -> None:
        """Keeps this many crashing workers running until so many have died; some are killed from outside."""
        running = [self.start_crashing() for _ in range(workers)]
        started = dict.fromkeys(running, time.monotonic())
        while self.deaths < deaths:
            for n, worker in enumerate(running):
                if worker.poll() is None and time.monotonic() - started[worker] > 1.0 + 4 * self.random.random():
                    if self.random.random() < at_random or self._idle():
                        worker.send_signal(signal.SIGKILL)
                        worker.wait()
                    else:
                        started[worker] = time.monotonic()
                if worker.poll() is not None:
                    self.deaths += 1
                    running[n] = self.start_crashing()
                    started[running[n]] = time.monotonic()
            time.sleep(0.02)
        self.end_workers()

    def _idle(self) -> bool:
        return self.deaths > 0 and self.log.exists() and time.time() - self.log.stat().st_mtime > 3

    # --- The end

    def drain(self, patience: float = 120) -> None:
        """Until a worker that nobody kills has delivered everything."""
        self.start_worker()
        eventually(self.is_drained, "everything to be delivered", patience)
        self.end_workers()

    def is_drained(self) -> bool:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return drained(connection)

    def judge(self) -> None:
        """The oracle."""
        with psycopg.connect(self.url) as connection:
            rows = """
                SELECT seq, object_id, after ->> 'title' FROM lockstep_change
                WHERE model = 'blog.article' AND kind = 'updated'
            """
            committed = {seq: (key, title) for seq, key, title in connection.execute(rows).fetchall()}
            letters = connection.execute("SELECT count(*) FROM lockstep_deadletter").fetchone()
        missing = set(self.acknowledged) - set(committed.values())
        assert not missing, f"acknowledged commits are lost: {missing}"
        received = self.received()
        contents = {seq: (key, title) for _, key, seq, title in received}
        assert contents == committed
        assert letters == (0,)
        self._judge_repeats(received)
        self._judge_order(received)

    def received(self) -> list[tuple[str, str, int, str]]:
        """(message id, object, seq, title) of every attempt, in the order of arrival."""
        lines = [line.split(" ") for line in self.log.read_text().splitlines()]
        return [(message, key, int(seq), title) for message, key, seq, title, _ in lines]

    def _judge_repeats(self, received: list[tuple[str, str, int, str]]) -> None:
        messages: dict[int, set[tuple[str, str, str]]] = defaultdict(set)
        for message, key, seq, title in received:
            messages[seq].add((message, key, title))
        assert all(len(versions) == 1 for versions in messages.values()), "a repeat had another id or content"
        assert len({message for message, *_ in received}) == len(messages), "two changes had one id"

    def _judge_order(self, received: list[tuple[str, str, int, str]]) -> None:
        latest: dict[str, int] = defaultdict(int)
        seen: set[int] = set()
        for _, key, seq, _ in received:
            if seq not in seen:
                assert seq > latest[key], f"{key}: {seq} arrived after {latest[key]}"
                latest[key] = seq
                seen.add(seq)

    @property
    def repeats(self) -> int:
        received = self.received()
        return len(received) - len({seq for *_, seq, _ in received})


@contextmanager
def crash_trial(folder: Path, seed: int, *, durable: bool = False, port: int | None = None) -> Iterator[CrashTrial]:
    """A copy of the test server with some articles and the subscription of the crashing worker."""
    copy = back_up(database_url(), folder / "postgres")
    with Server(copy.folder, durable=durable, port=port) as server:
        trial = CrashTrial(server, folder, random.Random(seed))
        trial.keys = _prepare(trial.url)
        try:
            yield trial
        finally:
            trial.end_workers()


def _prepare(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        made = f"{INSERT} SELECT '', '', '' FROM generate_series(1, %s) RETURNING id::text"
        keys = [key for (key,) in connection.execute(made, [OBJECTS]).fetchall()]
        connection.execute("DELETE FROM lockstep_subscription")
        follow = "INSERT INTO lockstep_subscription (name, kind, follows) VALUES (%s, 'event', '{blog.article.*}')"
        connection.execute(follow, [NAME])
    return keys


def wait_for(threads: list[threading.Thread], meanwhile: Callable[[], None] | None = None) -> None:
    """Until the writers are done."""
    while any(thread.is_alive() for thread in threads):
        if meanwhile:
            meanwhile()
        time.sleep(0.02)
