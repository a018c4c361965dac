"""Connections to the database: the parameters of Django's own for all others, and a limit for every wait on one.

A peer that is gone without a word (a machine that lost its power, a proxy that stopped forwarding) closes nothing. The
system's own means, keepalives and TCP_USER_TIMEOUT (config/settings.py), do not notice a peer that acknowledges what it
no longer forwards. A fixed limit would end long statements with the dead ones, again and again. So a statement that is
silent for SILENT_SECONDS is asked after, on another connection: while the server works on it, it is waited for; where
the server knows nothing of it, or does not answer either, the connection is closed, which raises OperationalError. The
server, which does not know that its client is gone, is told to end the session: other transactions wait for its locks,
and between the statements of a pipeline no limit of the server's would end it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

import psycopg
from django.db import connections
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from lockstep.changes.database_errors import is_stale

T = TypeVar("T")
Wait = Generator[Any, Any, T]  # what psycopg waits with: yields what it waits for, is sent what is ready

logger = logging.getLogger(__name__)

SILENT_SECONDS = 5.0
GRACE_SECONDS = 1.0  # between the server's word that it owes no answer and the end: an answer may be on its way
PROBE_SECONDS = 3  # for the connection on which the server is asked, and for its answer

# Of what Django gives its connections: what only its own cursors can use.
OF_DJANGOS_CURSORS = ("cursor_factory", "context", "prepare_threshold")

# A server that waits for its client waits for us, who wait for it. NULL: this role may not see it.
WORKS = "state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'"
SESSION = "FROM pg_stat_activity WHERE pid = %s AND datname = current_database()"
OWES_AN_ANSWER = f"SELECT {WORKS} {SESSION}"
END_SESSION = f"SELECT pg_terminate_backend(pid) {SESSION} AND NOT ({WORKS})"
OWES_NONE = "the server owes it no answer"


def connection_parameters() -> dict[str, Any]:
    """What psycopg needs to connect to Django's default database as Django does: all of libpq's that were given."""
    given = connections["default"].get_connection_params()
    return {name: value for name, value in given.items() if name not in OF_DJANGOS_CURSORS}


def session_statement(settings: Mapping[str, str]) -> tuple[str, list[str]]:
    """The first statement of a session and its parameters: applies the settings, returns the server's process id.

    It adds to the `options` of the connection, which may come from the environment or a service file as well, and
    which poolers refuse.
    """
    role = connections["default"].settings_dict["OPTIONS"].get("assume_role")
    wanted = {**settings, **({"role": role} if role else {})}
    columns = ["pg_backend_pid()", *("set_config(%s, %s, false)" for _ in wanted)]
    return f"SELECT {', '.join(columns)}", [word for setting in wanted.items() for word in setting]


class Watched:
    """What both kinds of connections have: waits that end."""

    pgconn: Any
    info: Any
    server_pid: int | None = None  # its process; a pooler gives out a number of its own
    longest: float | None = None  # seconds for any wait, however busy the server is
    silent_seconds: float | None = SILENT_SECONDS

    def watched(self, wait: Wait[T]) -> Wait[T]:
        """The same wait, which raises where no answer will come. While it is silent psycopg sends it 0 now and then."""
        began = heard = time.monotonic()
        look = Look(self)
        try:
            wanted = next(wait)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if ready:
                    heard = now
                elif self.longest is not None and now - began > self.longest:
                    self._cut(f"no answer within {self.longest:g} s")
                elif reason := look.at(now - heard):
                    if OWES_NONE in reason:
                        self.end_session()
                    self._cut(reason)
                wanted = wait.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result

    def address(self) -> dict[str, Any]:
        """The parameters of another connection to the same server, for a short while."""
        own = {"application_name": "lockstep-probe", "connect_timeout": PROBE_SECONDS}
        return {**self.info.get_parameters(), "password": self.info.password, **own}

    def discard_if_stale(self, error: psycopg.Error) -> None:
        """Closes a connection whose session does not fit the database any more, so that no one gets it again."""
        if is_stale(error):
            logger.info("a connection to the database is replaced: %s", str(error).partition("\n")[0])
            self.pgconn.finish()

    def examination(self) -> Callable[[], str | None]:
        """Starts to ask after the statement; the outcome of `examine` once it is there, until then None."""
        raise NotImplementedError

    def end_session(self) -> None:
        """Has the server end its session, which waits for a client that does not hear it any more."""
        raise NotImplementedError

    def _cut(self, reason: str) -> None:
        logger.warning("a connection to the database is closed: %s", reason)
        self.pgconn.finish()
        raise psycopg.OperationalError(f"the connection to the database is dead: {reason}")


class Look:
    """The looks after one wait."""

    def __init__(self, connection: Watched) -> None:
        self._connection = connection
        self._next = connection.silent_seconds
        self._outcome: Callable[[], str | None] | None = None
        self._dead_since: float | None = None
        self._reason = ""

    def at(self, silent: float) -> str:
        """Why the connection is dead after so many seconds of silence; "" while it may be alive."""
        if self._dead_since is not None:
            return self._reason if silent - self._dead_since > GRACE_SECONDS else ""
        if self._outcome is None:
            if self._next is None or silent < self._next or not _is_active(self._connection):
                return ""
            self._outcome = self._connection.examination()
        outcome = self._outcome()
        if outcome is None:
            return ""
        self._outcome, self._next = None, silent + SILENT_SECONDS
        if outcome:
            self._reason, self._dead_since = f"silent for {silent:.0f} s, and {outcome}", silent
        return ""


class WatchedConnection(Watched, psycopg.Connection[TupleRow]):
    """A synchronous connection."""

    def wait(self, gen: Wait[T], *args: Any, **options: Any) -> T:  # noqa: ANN401 - psycopg's
        """psycopg's only wait for an answer."""
        try:
            return super().wait(self.watched(gen), *args, **options)
        except psycopg.Error as error:
            self.discard_if_stale(error)
            raise

    def examination(self) -> Callable[[], str | None]:
        """Asks at once: nothing else can be done on this thread anyway."""
        outcome = examine(self.address(), _pid(self))
        return lambda: outcome

    def end_session(self) -> None:
        """At once, as it is examined."""
        end_session(self.address(), _pid(self))

    def begin(self, settings: Mapping[str, str]) -> None:
        """The first statement of its session."""
        (self.server_pid, *_) = self.execute(*session_statement(settings)).fetchone() or (None,)


class WatchedAsyncConnection(Watched, psycopg.AsyncConnection[TupleRow]):
    """An asynchronous connection."""

    async def wait(self, gen: Wait[T], *args: Any, **options: Any) -> T:  # noqa: ANN401 - psycopg's
        """psycopg's only wait for an answer."""
        try:
            return await super().wait(self.watched(gen), *args, **options)
        except psycopg.Error as error:
            self.discard_if_stale(error)
            raise

    def examination(self) -> Callable[[], str | None]:
        """Asks in a thread, beside the event loop."""
        asked = asyncio.get_running_loop().run_in_executor(None, examine, self.address(), _pid(self))
        return lambda: asked.result() if asked.done() else None

    def end_session(self) -> None:
        """In a thread, without waiting for it."""
        asyncio.get_running_loop().run_in_executor(None, end_session, self.address(), _pid(self))

    async def begin(self, settings: Mapping[str, str]) -> None:
        """The first statement of its session."""
        cursor = await self.execute(*session_statement(settings))
        (self.server_pid, *_) = await cursor.fetchone() or (None,)


class Probe(Watched, psycopg.Connection[TupleRow]):
    """A connection on which little is asked, and quickly."""

    silent_seconds = None
    longest = float(PROBE_SECONDS)

    def wait(self, gen: Wait[T], *args: Any, **options: Any) -> T:  # noqa: ANN401 - psycopg's
        """psycopg's only wait for an answer."""
        return super().wait(self.watched(gen), *args, **options)


def examine(address: Mapping[str, Any], pid: int) -> str:
    """Why no answer will come from this process of the server; "" while one may, or where that cannot be known."""
    try:
        with Probe.connect(**address, autocommit=True) as probe:
            row = probe.execute(OWES_AN_ANSWER, [pid]).fetchone()
    except psycopg.Error as error:
        # A server that refuses a connection ("FATAL: sorry, too many clients already") is one that answers.
        return "" if "FATAL" in str(error) else "the server does not answer on another connection either"
    if row is None:
        return "the server has no such session any more"
    return OWES_NONE if row[0] is False else ""


def end_session(address: Mapping[str, Any], pid: int) -> None:
    """Ends this session at the server, unless it works on a statement again."""
    try:
        with Probe.connect(**address, autocommit=True) as probe:
            probe.execute(END_SESSION, [pid])
    except psycopg.Error as error:
        logger.warning("the session of a dead connection is still there: %s", str(error).partition("\n")[0])


def _is_active(connection: Watched) -> bool:
    """Whether a statement is under way: one that only listens is silent by nature."""
    return bool(connection.pgconn.transaction_status == TransactionStatus.ACTIVE)


def _pid(connection: Watched) -> int:
    return connection.server_pid or int(connection.pgconn.backend_pid)
