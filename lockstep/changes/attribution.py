"""Who made a change, on whose behalf, and in which request: carried to the database with SET LOCAL.

The capture triggers read the three settings, so a change written by any statement of the transaction
(bulk_update, raw SQL, a cascade) carries them too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import connection, transaction

from lockstep.changes.wakeup import announcer

_trace: ContextVar[str] = ContextVar("trace", default="")

SET_LOCAL = (
    "SELECT set_config('lockstep.actor', %s, true), set_config('lockstep.origin', %s, true),"
    " set_config('lockstep.trace', %s, true)"
)


def current_trace() -> str:
    """The request or command that is being carried out; "" for none."""
    return _trace.get()


class tracing:
    """Everything written inside carries this trace (the request's id, a command's name).

    What `contextmanager` makes of a function does the same at five times the price, and one comes with each request.
    """

    __slots__ = ("token", "trace")

    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __enter__(self) -> None:
        self.token = _trace.set(self.trace)

    def __exit__(self, *error: object) -> None:
        _trace.reset(self.token)


def attribution(*, actor: str = "", origin: str = "") -> dict[str, str]:
    """The same as parameters of a statement that says it itself, for what is written by one statement alone.

    It has to set `lockstep.actor`, `lockstep.origin` and `lockstep.trace` to them. Who executes it calls
    `announce_commit` afterwards.
    """
    return {"actor": actor, "origin": origin, "trace": _trace.get()}


def announce_commit() -> None:
    """Those who read the change log are told once what was written just now is committed."""
    transaction.on_commit(announcer.announce)


@contextmanager
def attributed_transaction(*, actor: str = "", origin: str = "") -> Iterator[None]:
    """A transaction whose changes name their actor ("user:<id>") and origin (a provider, or "" for ourselves).

    A change whose origin equals a subscription's own is not delivered to it: nothing is echoed back.
    Nested inside another one it is a savepoint, and its attribution holds from there on. Once it is committed, those
    who read the change log are told.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SET_LOCAL, [actor, origin, _trace.get()])
        announce_commit()
        yield
