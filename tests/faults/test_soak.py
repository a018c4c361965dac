"""Hours of ordinary use: nothing of it stays behind in memory, descriptors, connections or the tables that are queues.

All processes of `make run` are measured every few requests. What a process keeps of its first (bounded caches, code
that is loaded when it is first needed) is not counted: the second quarter of the time is compared with the last one.
SOAK_MINUTES says how long; SOAK_SERIES names a file for the figures.
"""

import itertools
import json
import os
import random
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from devstack.launcher import template
from devstack.launcher.postgres import Server
from lockstep.webhooks.tests.receiver import Answer, Received, receiving
from tests.acceptance.running import Run, free_port
from tests.support import eventually

MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))

pytestmark = [pytest.mark.faults, pytest.mark.needs("linux"), pytest.mark.timeout(MINUTES * 120 + 300)]

REQUESTS_PER_SECOND = 8
LOOK_EVERY = 40  # requests
GROWTH = 1.04  # of a process's memory, from the second quarter to the last: noise of the allocator
SPARE_KB = 3_000
QUEUES = ("lockstep_lane", "lockstep_delivery")
OF_PROCESSES = {"web": "granian", "worker": "manage.py lockstep worker"}
STEADY_ROWS = 2_000  # rows that may wait in a queue at any moment of the last quarter

Traffic = Iterator[Callable[[], object]]


class Visitor:
    """A client that does a little of everything, each time with other words: what is kept by input would grow."""

    def __init__(self, url: str, receiver: str) -> None:
        self.answers: Counter[str] = Counter()
        self.staff = self._signed_in(url, "admin", "12345")
        self.user = self._signed_in(url, "user", "1234")
        self.guest = httpx.Client(base_url=url, timeout=30)
        self._random = random.Random(17)
        for client in (self.staff, self.user):
            hook = {"url": receiver, "events": ["posts.*", "shop.*"]}
            client.post("/api/v1/webhooks/", json=hook).raise_for_status()

    def _signed_in(self, url: str, name: str, password: str) -> httpx.Client:
        answer = httpx.post(f"{url}/auth/", json={"username": name, "password": password}).raise_for_status()
        return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {answer.json()['token']}"}, timeout=30)

    def word(self) -> str:
        return "".join(self._random.choices("abcdefghijklmnopqrstuvwxyz", k=9))

    def traffic(self) -> Traffic:
        """One request after the other, without end."""
        for number in itertools.count():
            yield from self._posts()
            yield from self._shop()
            yield from self._movies()
            yield from self._strange()
            yield from self._looks()
            if number % 10 == 0:
                yield from self._guesses()
                yield from self._accounts()
                yield self._stream

    def say(self, client: httpx.Client, method: str, path: str, **rest: object) -> httpx.Response:
        """The answer, as a client gets it that comes back where it is told to; whatever else fails ends the soak."""
        route = re.sub(r"[0-9a-f-]{36}|[0-9]+|(?<=nothing/).*", "…", path.partition("?")[0])
        while True:
            answer = client.request(method, path, **rest)  # type: ignore[arg-type]
            self.answers[f"{answer.status_code} {method} {route}"] += 1
            if answer.status_code < 500:
                return answer
            assert answer.status_code == 503, f"{method} {path}: {answer.text}"
            time.sleep(float(answer.headers.get("Retry-After", 1)))

    def _posts(self) -> Traffic:
        body = {"title": self.word(), "body": self.word() * 20}
        made: dict[str, int] = {}
        yield lambda: made.update(self.say(self.user, "POST", "/fakeapi/v1/posts/create/", json=body).json())
        yield lambda: self.say(self.user, "PUT", f"/fakeapi/v1/posts/update/{made['id']}/", json=body | {"body": "b"})
        yield lambda: self.say(self.user, "GET", f"/fakeapi/v1/posts/?_limit=50&_page={self._random.randint(1, 3)}")
        yield lambda: self.say(self.user, "DELETE", f"/fakeapi/v1/posts/delete/{made['id']}/")

    def _shop(self) -> Traffic:
        product: dict[str, Any] = {"name": self.word(), "description": self.word(), "price": "2.50", "stock": 5}
        made: dict[str, Any] = {}
        order: dict[str, Any] = {}

        def key() -> dict[str, str]:
            return {"Idempotency-Key": self.word()}

        def buy() -> None:
            lines = {"lines": [{"product": made["id"], "quantity": 1}]}
            order.update(self.say(self.user, "POST", "/api/v1/orders/", json=lines, headers=key()).json())

        yield lambda: made.update(self.say(self.user, "POST", "/api/v1/products/", json=product, headers=key()).json())
        yield lambda: self.say(self.staff, "GET", f"/api/v1/products/{made['id']}/")
        yield lambda: self.say(self.user, "GET", f"/api/v1/products/?search={product['name'][:-1]}x")
        yield buy
        yield lambda: self.say(self.user, "POST", f"/api/v1/orders/{order['id']}/cancel/")
        yield lambda: self.say(self.user, "GET", f"/api/v1/products/{made['id']}/history/")
        yield lambda: self.say(self.user, "DELETE", f"/api/v1/products/{made['id']}/")

    def _movies(self) -> Traffic:
        yield lambda: self.say(self.user, "GET", f"/api/v1/movies/?query={self.word()[:3]}")
        yield lambda: self.say(self.user, "POST", "/api/defects/", json={"comment": self.word()})

    def _strange(self) -> Traffic:
        yield lambda: self.say(self.guest, "GET", f"/nothing/{self.word()}-0/")
        yield lambda: self.say(
            self.guest, "GET", "/api/v1/products/", headers={"Authorization": f"Bearer {self.word()}"}
        )
        yield lambda: self.say(self.user, "POST", "/api/v1/products/", json={self.word(): self.word()})
        yield lambda: self.say(self.user, "GET", f"/api/v1/products/?{self.word()}=1")
        yield lambda: self.say(self.guest, "POST", "/auth/", content=self.word() * 500)

    def _looks(self) -> Traffic:
        yield lambda: self.say(self.guest, "GET", "/metrics")
        yield lambda: self.say(self.guest, "GET", "/readyz")
        yield lambda: self.say(self.staff, "GET", "/api/v1/changes/?limit=50")
        yield lambda: self.say(self.staff, "GET", "/api/v1/products/?count=exact&limit=20")
        yield lambda: self.say(self.guest, "GET", "/admin/login/")

    def _accounts(self) -> Traffic:
        name, password = self.word(), self.word()
        person = {"username": name, "password": password}
        token: dict[str, str] = {}
        yield lambda: self.say(self.guest, "POST", "/api/v1/users/register/", json=person)
        yield lambda: token.update(self.say(self.guest, "POST", "/auth/", json=person).json())
        yield lambda: self.say(
            self.guest,
            "DELETE",
            "/api/v1/users/me/",
            json={"password": password},
            headers={"Authorization": f"Bearer {token['token']}"},
        )

    def _guesses(self) -> Traffic:
        """Seldom: more of them would keep the others from signing in."""
        yield lambda: self.say(self.guest, "POST", "/auth/", json={"username": self.word(), "password": self.word()})

    def _stream(self) -> None:
        with self.staff.stream("GET", "/api/v1/changes/", headers={"Accept": "text/event-stream"}) as answer:
            self.answers[f"{answer.status_code} stream"] += 1
            self.say(self.user, "POST", "/fakeapi/v1/posts/create/", json={"title": self.word(), "body": "b"})
            lines = []
            for line in answer.iter_lines():
                lines.append(line)
                if line.startswith("data"):
                    return
        raise AssertionError(f"{answer.status_code}, and no change came: {lines}")


class Measurements:
    """Figures of the processes, the connections and the queues, one after the other."""

    def __init__(self, run: Run, url: str) -> None:
        self.run, self.url = run, url
        self.figures: dict[str, list[int]] = defaultdict(list)

    def look(self) -> None:
        for name, words in OF_PROCESSES.items():
            pids = [pid for pid, command in self.run.processes().items() if words in command]
            self.figures[f"{name}: kB of memory"].append(sum(anonymous_memory(pid) for pid in pids))
            self.figures[f"{name}: descriptors"].append(sum(entries(pid, "fd") for pid in pids))
            self.figures[f"{name}: threads"].append(sum(entries(pid, "task") for pid in pids))
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name in QUEUES:
                row = connection.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,)
                self.figures[f"{name}: rows"].append(row[0])
            connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            self.figures["database: connections"].append((connection.execute(connections).fetchone() or (0,))[0])
        if series := os.environ.get("SOAK_SERIES"):
            Path(series).write_text(json.dumps(self.figures))

    def quarters(self, name: str) -> tuple[float, float]:
        """The medians of the second quarter and of the last."""
        found = self.figures[name]
        quarter = len(found) // 4
        return statistics.median(found[quarter : 2 * quarter]), statistics.median(found[-quarter:])

    def growing(self) -> list[str]:
        """What is larger in the last quarter than it may be."""
        grown = []
        for name in self.figures:
            second, last = self.quarters(name)
            if name.endswith("rows"):
                limit: float = STEADY_ROWS
            elif name.endswith("memory"):
                limit = second * GROWTH + SPARE_KB
            else:
                limit = second + 3
            if last > limit:
                grown.append(f"{name}: {second:.0f} in the second quarter, {last:.0f} in the last")
        return grown

    def __str__(self) -> str:
        return "\n".join(
            f"{name}: {second:.0f} → {last:.0f}" for name in self.figures for second, last in [self.quarters(name)]
        )


def anonymous_memory(pid: int) -> int:
    """kB of a process that no file backs."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0])


def entries(pid: int, folder: str) -> int:
    """How many there are in a folder of /proc."""
    return len(list(Path(f"/proc/{pid}/{folder}").iterdir()))


class SometimesBusy:
    """The answers of a receiver that cannot take every fifth message at once."""

    def __init__(self) -> None:
        self.refused: set[str] = set()

    def __call__(self, request: Received) -> Answer:
        message = request.headers["webhook-id"]
        if hash(message) % 5 or message in self.refused:
            self.refused.discard(message)
            return 204, {}, b""
        self.refused.add(message)
        return 503, {}, b"later"


@contextmanager
def running(folder: Path) -> Iterator[tuple[Run, Server]]:
    template.copy_to(folder / "postgres")
    with Server(folder / "postgres", durable=False) as server:
        settings = {"WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8", "RATE_LIMIT": "1000000", "LOG_LEVEL": "WARNING"}
        run = Run(folder / "home", free_port(), DATABASE_URL=server.url, **settings)
        try:
            run.until_ready()
            yield run, server
        finally:
            run.end()


def test_nothing_grows(home: Path) -> None:
    with running(home) as (run, server), receiving() as receiver:
        receiver.answer = SometimesBusy()
        visitor = Visitor(run.url, receiver.url)
        measured = Measurements(run, server.url)
        began, traffic = time.monotonic(), visitor.traffic()
        for number in range(round(MINUTES * 60 * REQUESTS_PER_SECOND)):
            try:
                next(traffic)()
            except AssertionError as error:
                error.add_note(run.output[-5_000:])
                raise
            if number % LOOK_EVERY == 0:
                measured.look()
                receiver.requests.clear()
            time.sleep(max(began + number / REQUESTS_PER_SECOND - time.monotonic(), 0))  # the pace, not a wait
        print(f"\n{sum(visitor.answers.values())} requests in {MINUTES:g} minutes\n{measured}")  # noqa: T201 - the figures
        print(json.dumps(dict(sorted(visitor.answers.items())), indent=1))  # noqa: T201
        assert not measured.growing(), f"{measured.growing()}\n{measured}"
        with psycopg.connect(server.url, autocommit=True) as connection:
            failing = "SELECT count(*) FROM lockstep_lane WHERE failure IS NULL AND next_at < now() - interval '1 min'"
            eventually(lambda: connection.execute(failing).fetchone() == (0,), "nothing that is due waits")
