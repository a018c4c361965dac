"""Connections to the database: Django's parameters for all of them, and a limit on every wait.

A peer that fails without closing the connection (a machine without power, a proxy that stopped forwarding) is not
detected by keepalives and TCP_USER_TIMEOUT while it acknowledges packets. A fixed timeout would end long statements
too. So a statement without an answer for SILENT_SECONDS is checked on another connection: while the server works on it,
the wait continues; where the server has no such session, or does not answer either, the connection is closed, which
raises OperationalError. The session is terminated on the server: other transactions wait for its locks, and between the
statements of a pipeline no server timeout would end it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGconn
from psycopg.rows import TupleRow

from lockstep.changes.database_errors import is_stale
from lockstep.conf import log_connection
from lockstep.sql import Statement, joined, statements

T = TypeVar("T")
ConnectionParameters: TypeAlias = dict[str, Any]  # of psycopg's connect: texts, numbers and classes

logger = logging.getLogger(__name__)

SILENT_SECONDS = 5.0
GRACE_SECONDS = 1.0  # after a failed check, for an answer that is in transit
PROBE_SECONDS = 3  # the limit of the connection for the check, and of its answer

# Django's connection parameters that only its own cursors can use.
OF_DJANGOS_CURSORS = ("cursor_factory", "context", "prepare_threshold")

SQL = statements(__file__, "sessions")
OWES_NONE = "the server owes it no answer"


def connection_parameters() -> ConnectionParameters:
    """Django's connection parameters for the database with the change log, for psycopg."""
    parameters = log_connection().get_connection_params()
    return {name: value for name, value in parameters.items() if name not in OF_DJANGOS_CURSORS}


def session_statement(settings: Mapping[str, str]) -> tuple[Statement, list[str]]:
    """The first statement of a session and its parameters: applies the settings, returns the server's process id.

    A statement, because `options` of the connection may come from the environment or a service file, and are refused by
    poolers.
    """
    role = log_connection().settings_dict["OPTIONS"].get("assume_role")
    wanted = {**settings, **({"role": role} if role else {})}
    statement = SQL["begin"].with_parts(settings=joined([SQL["setting"]] * len(wanted), ""))
    return statement, [word for setting in wanted.items() for word in setting]


class Watched:
    """A mixin of connections, which limits waits."""

    pgconn: PGconn
    server_pid: int | None = None  # of its server process; a pooler's number differs
    longest: float | None = None  # seconds for any wait, even while the server works
    silent_seconds: float | None = SILENT_SECONDS

    if TYPE_CHECKING:  # psycopg's own

        @property
        def info(self) -> psycopg.ConnectionInfo: ...

    def watched(self, wait: PQGen[T]) -> PQGen[T]:
        """Wraps a wait; raises where no answer will come. psycopg sends it 0 regularly while nothing is ready."""
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

    def address(self) -> ConnectionParameters:
        """The parameters of a short-lived connection to the same server."""
        own = {"application_name": "lockstep-probe", "connect_timeout": PROBE_SECONDS}
        return {**self.info.get_parameters(), "password": self.info.password, **own}

    def discard_if_stale(self, error: psycopg.Error) -> None:
        """Closes a connection with a stale session, so that it is not used again."""
        if is_stale(error):
            logger.info("a connection to the database is replaced: %s", str(error).partition("\n")[0])
            self.pgconn.finish()

    def examination(self) -> Callable[[], str | None]:
        """Starts `examine`; the returned function gives its outcome, None until it is available."""
        raise NotImplementedError

    def end_session(self) -> None:
        """Terminates the session on the server, which waits for a lost client."""
        raise NotImplementedError

    def _cut(self, reason: str) -> None:
        logger.warning("a connection to the database is closed: %s", reason)
        self.pgconn.finish()
        raise psycopg.OperationalError(f"the connection to the database is dead: {reason}")


class Look:
    """The checks during one wait."""

    def __init__(self, connection: Watched) -> None:
        self._connection = connection
        self._next = connection.silent_seconds
        self._outcome: Callable[[], str | None] | None = None
        self._dead_since: float | None = None
        self._reason = ""

    def at(self, silent: float) -> str:
        """Why the connection is dead after so many seconds without an answer; "" while it may be alive."""
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

    def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:  # noqa: ANN401 - psycopg's
        """psycopg's wait for an answer, with a limit."""
        try:
            return super().wait(self.watched(gen), *args, **options)
        except psycopg.Error as error:
            self.discard_if_stale(error)
            raise

    def examination(self) -> Callable[[], str | None]:
        """Runs `examine` at once: this thread waits anyway."""
        outcome = examine(self.address(), _pid(self))
        return lambda: outcome

    def end_session(self) -> None:
        """Terminates it at once."""
        end_session(self.address(), _pid(self))

    def begin(self, settings: Mapping[str, str]) -> None:
        """The first statement of its session."""
        (self.server_pid, *_) = self.execute(*session_statement(settings)).fetchone() or (None,)


class WatchedAsyncConnection(Watched, psycopg.AsyncConnection[TupleRow]):
    """An asynchronous connection."""

    async def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:  # noqa: ANN401 - psycopg's
        """psycopg's wait for an answer, with a limit."""
        try:
            return await super().wait(self.watched(gen), *args, **options)
        except psycopg.Error as error:
            self.discard_if_stale(error)
            raise

    def examination(self) -> Callable[[], str | None]:
        """Runs `examine` in a thread."""
        outcome = asyncio.get_running_loop().run_in_executor(None, examine, self.address(), _pid(self))
        return lambda: outcome.result() if outcome.done() else None

    def end_session(self) -> None:
        """Terminates it in a thread, without waiting."""
        asyncio.get_running_loop().run_in_executor(None, end_session, self.address(), _pid(self))

    async def begin(self, settings: Mapping[str, str]) -> None:
        """The first statement of its session."""
        cursor = await self.execute(*session_statement(settings))
        (self.server_pid, *_) = await cursor.fetchone() or (None,)


class Probe(Watched, psycopg.Connection[TupleRow]):
    """A connection for short checks, with a limit of PROBE_SECONDS."""

    silent_seconds = None
    longest = float(PROBE_SECONDS)

    def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:  # noqa: ANN401 - psycopg's
        """psycopg's wait for an answer, with a limit."""
        return super().wait(self.watched(gen), *args, **options)


def examine(address: ConnectionParameters, pid: int) -> str:
    """Why this server process will not answer; "" where it may, or that is unknown."""
    try:
        with Probe.connect(**address, autocommit=True) as probe:
            row = probe.execute(SQL["owes_an_answer"], [pid]).fetchone()
    except psycopg.Error as error:
        # A server that refuses a connection ("FATAL: sorry, too many clients already") is alive.
        return "" if "FATAL" in str(error) else "the server does not answer on another connection either"
    if row is None:
        return "the server has no such session any more"
    return OWES_NONE if row[0] is False else ""


def end_session(address: ConnectionParameters, pid: int) -> None:
    """Terminates this session on the server, unless it works on a statement."""
    try:
        with Probe.connect(**address, autocommit=True) as probe:
            probe.execute(SQL["end"], [pid])
    except psycopg.Error as error:
        logger.warning("the session of a dead connection is still there: %s", str(error).partition("\n")[0])


def _is_active(connection: Watched) -> bool:
    """Whether a statement is in progress: a connection that only listens gets no answers."""
    return bool(connection.pgconn.transaction_status == TransactionStatus.ACTIVE)


def _pid(connection: Watched) -> int:
    return connection.server_pid or int(connection.pgconn.backend_pid)
