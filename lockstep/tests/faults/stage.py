"""A stage on which the parts of workers and operators act one statement at a time, in an order that a test chooses.

Each actor (a round of a relay, a courier's claim or settlement, an operator's command) stops before each of its
statements and before its commit, until it is told to go on. What waits for a lock in the database waits here, too,
while the others go on. Nobody sleeps: an actor has arrived, has ended, or PostgreSQL says that it is blocked.
"""

import asyncio
import select
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any

import psycopg
import uvloop
from django.db import connection as django_connection
from django.db import transaction
from kit import statements

NAMES = {text: f"{file}.{name}" for text, (file, name) in statements.NAMES.items()}
QUICK_MS = 15  # for so long everybody waits for an answer of the database
COMMITS = count(1)
WAIT_TIMEOUT = 30.0  # seconds until an actor that neither arrives nor waits for a lock is a mistake of the stage


class Killed(Exception):
    """The process of this actor is no more."""


class QuickConnection(psycopg.AsyncConnection[Any]):
    """A connection that troubles the event loop only with what takes long: who waits for a lock, lets others go on."""

    async def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """psycopg's only wait for an answer."""
        return await super().wait(self._quickly(gen), *args, **options)

    def _quickly(self, wait: Any) -> Generator[Any, Any, Any]:
        try:
            wanted = next(wait)
            while True:
                ready = self._ready(wanted)
                wanted = wait.send(ready or (yield wanted))
        except StopIteration as end:
            return end.value

    def _ready(self, wanted: int) -> int:
        poll = select.poll()
        poll.register(self.pgconn.socket, (wanted & 1 and select.POLLIN) | (wanted & 2 and select.POLLOUT))
        ((_, found),) = poll.poll(QUICK_MS) or [(0, 0)]
        return (1 if found & select.POLLIN else 0) | (2 if found & select.POLLOUT else 0)


class Actor:
    """Something that acts in steps. `at` is the statement before which it stands; None while it is at work."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, finished: "Finished") -> None:
        self.name = name
        self.finished = finished
        self.pid = 0
        self.at: str | None = None
        self.done = False
        self.is_blocked = False
        self.is_free = False  # it stops nowhere
        self.was_killed = False
        self.commits = 0  # its place among all commits: who waited for another one's locks comes after it
        self.result: Any = None
        self.error: BaseException | None = None
        self.refuse: Exception | None = None  # its next statement fails with this
        self.notes: dict[str, Any] = {}
        self.arrived = asyncio.Event()
        self.go = asyncio.Event()
        self.go_thread = threading.Event()
        self.task: asyncio.Task[None] | None = None
        self._loop = loop

    def __repr__(self) -> str:
        return f"{self.name} at {self.at}"

    def rest(self) -> None:
        """What is done by most when they have ended."""

    async def gate(self, what: str) -> None:
        """Stands before a statement until it may go on."""
        if not self.is_free:
            self.at = what
            self.arrived.set()
            await self.go.wait()
            self.go.clear()
            self.at = None
        self._note(what)
        if self.refuse:
            refused, self.refuse = self.refuse, None
            raise refused

    def gate_thread(self, what: str) -> None:
        """The same, of an actor on a thread."""
        if not self.is_free or self.was_killed:
            self.at = what
            self._loop.call_soon_threadsafe(self.arrived.set)
            self.go_thread.wait()
            self.go_thread.clear()
            self.at = None
        if self.was_killed:
            raise Killed
        self._note(what)

    def _note(self, what: str) -> None:
        if what == "commit":
            self.commits = next(COMMITS)


Finished = Callable[[Actor], None]  # is told once, when it has ended without an error
Seen = Callable[[Actor, str, Any, list[tuple[Any, ...]]], None]


class Connection:
    """A worker's connection whose statements are steps of the actor that has it."""

    def __init__(
        self, connection: psycopg.AsyncConnection[Any], actor: Actor, before: Callable[..., None], after: Seen
    ):
        self._connection, self._actor, self._before, self._after = connection, actor, before, after

    async def execute(self, statement: Any, parameters: Any = None) -> psycopg.AsyncCursor[Any]:
        name = NAMES.get(statement, "another") if isinstance(statement, str) else "another"
        self._actor.pid = self._connection.info.backend_pid
        await self._actor.gate(name)
        self._before(self._actor, name)
        try:
            cursor = await self._connection.execute(statement, parameters)
        except psycopg.errors.DeadlockDetected:
            self._after(self._actor, "deadlock", name, [])
            raise
        rows = []
        if cursor.description:
            rows = await cursor.fetchall()
            if rows:
                await cursor.scroll(0, mode="absolute")
        self._after(self._actor, name, parameters, rows)
        return cursor

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self._connection.transaction():
            yield
            await self._actor.gate("commit")
            self._before(self._actor, "commit")
        self._after(self._actor, "commit", None, [])

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[None]:
        yield


class Pool:
    """One connection of a worker, as a pool gives it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        yield self._connection


class Stage:
    """Who acts at the moment, and the means to let them go on."""

    def __init__(self, url: str, before: Callable[..., None], after: Seen) -> None:
        self.url = url
        self.before, self.after = before, after
        self.loop = uvloop.new_event_loop()
        self.actors: list[Actor] = []
        self._at_once = False
        self._operators = [ThreadPoolExecutor(1) for _ in range(2)]
        self._idle: dict[str, list[psycopg.AsyncConnection[Any]]] = {}
        self._monitor = self.run(self.connect())

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    async def connect(self, options: str = "") -> psycopg.AsyncConnection[Any]:
        return await QuickConnection.connect(
            self.url, autocommit=True, prepare_threshold=0 if options else 5, options=options
        )

    async def borrowed(self, options: str) -> psycopg.AsyncConnection[Any]:
        idle = self._idle.setdefault(options, [])
        return idle.pop() if idle else await self.connect(options)

    def act(
        self,
        name: str,
        work: Callable[[Connection], Awaitable[Any]],
        settings: Mapping[str, str],
        finished: Finished = Actor.rest,
    ) -> Actor:
        """An actor of a worker. It stands before its first statement, or goes on to its end."""
        actor = Actor(name, self.loop, finished)
        actor.is_free = self._at_once
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())

        async def play() -> None:
            connection = await self.borrowed(options)
            try:
                actor.result = await work(Connection(connection, actor, self.before, self.after))
            except (Exception, asyncio.CancelledError) as error:
                actor.error = error
            finally:
                if connection.closed or connection.info.transaction_status:
                    await connection.close()
                else:
                    self._idle[options].append(connection)
                actor.done = True
                actor.arrived.set()

        actor.task = self.loop.create_task(play())
        self.actors.append(actor)
        self._begin(actor)
        return actor

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Who begins now stands nowhere but where it waits for a lock."""
        self._at_once = True
        yield
        self._at_once = False

    def _begin(self, actor: Actor) -> None:
        if self._at_once:
            self.settle_down(actor)
            actor.is_free = False
        else:
            self.run(self._until_arrived(actor))

    def operate(
        self, name: str, number: int, work: Callable[[], Any], finished: Finished, notes: dict[str, Any]
    ) -> Actor:
        """A command of one of two operators, in a transaction that they commit later."""
        actor = Actor(name, self.loop, finished)
        actor.is_free = self._at_once
        actor.notes = notes | {"operator": number}

        def gated(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            name = NAMES.get(sql, sql.strip()[:30])
            if "SAVEPOINT" not in sql:
                actor.gate_thread(name)
            if name == "operations.dead_letters":  # who is chosen: nobody comes between this and the statement itself
                execute(sql, params, many, context)
                actor.notes["letters"] = context["cursor"].fetchall()
            return execute(sql, params, many, context)

        def play() -> None:
            try:
                django_connection.ensure_connection()
                actor.pid = django_connection.connection.info.backend_pid
                with transaction.atomic():
                    with django_connection.execute_wrapper(gated):
                        actor.result = work()
                    actor.gate_thread("commit")
            except Exception as error:
                actor.error = error
            actor.done = True
            self.loop.call_soon_threadsafe(actor.arrived.set)

        self._operators[number].submit(play)
        self.actors.append(actor)
        self._begin(actor)
        return actor

    def step(self, actor: Actor) -> None:
        """Lets it do what it stands before, until it stands again, has ended, or waits for a lock."""
        actor.arrived.clear()
        actor.go.set()
        actor.go_thread.set()
        self.settle_down(actor)

    def kill(self, actor: Actor) -> None:
        """Its process is gone, in the middle of what it did; PostgreSQL rolls back."""
        actor.was_killed = True
        if actor.task:
            actor.arrived.clear()
            actor.task.cancel()
        else:
            if actor.is_blocked:  # the connection goes, and what it waits for with it
                self.run(self._monitor.execute("SELECT pg_cancel_backend(%s)", [actor.pid]))
            actor.arrived.clear()
            actor.go_thread.set()
        actor.is_blocked = False
        self.settle_down(actor)

    def settle_down(self, actor: Actor | None = None) -> None:
        """Waits until this actor, and whoever waited for a lock that is free by now, stand, have ended or wait."""
        moving = [each for each in self.actors if each is actor or each.is_blocked]
        for each in moving:
            self.run(self._until_arrived(each))
        # Who came off a lock may have let somebody else go on.
        while any(each.is_blocked and self.run(self._until_arrived(each)) for each in list(self.actors)):
            continue
        for each in sorted((each for each in self.actors if each.done), key=lambda each: each.commits):
            self.actors.remove(each)
            if each.error is None:
                each.finished(each)

    async def _until_arrived(self, actor: Actor) -> bool:
        """Whether it has arrived; else it is blocked."""
        for _ in range(0 if actor.is_blocked else 8):  # most do at once
            if actor.arrived.is_set():
                return True
            await asyncio.sleep(0)
        for _ in range(int(WAIT_TIMEOUT / 0.002)):
            if not actor.arrived.is_set():
                waiting = asyncio.ensure_future(actor.arrived.wait())
                await asyncio.wait({waiting}, timeout=0.0 if actor.is_blocked else 0.015)
                waiting.cancel()
            if actor.arrived.is_set():
                actor.is_blocked = False
                return True
            cursor = await self._monitor.execute("SELECT pg_blocking_pids(%s) <> '{}'", [actor.pid])
            if (await cursor.fetchone()) == (True,):
                actor.is_blocked = True
                return False
            actor.is_blocked = False
        raise AssertionError(f"{actor} neither arrives nor waits for a lock")

    async def breathe(self) -> None:
        """Lets tasks that wait for nothing go on."""
        for _ in range(3):
            await asyncio.sleep(0)

    def clear(self) -> None:
        """Ends all actors."""
        while self.actors:
            self.kill(self.actors[0])

    def close(self) -> None:
        self.clear()
        for operator in self._operators:
            operator.submit(lambda: django_connection.close()).result()
            operator.shutdown()
        for connections in self._idle.values():
            for connection in connections:
                self.run(connection.close())
        self.run(self._monitor.close())
        self.loop.close()
