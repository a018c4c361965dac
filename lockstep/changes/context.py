"""`attributed` attributes everything that Django writes inside to an actor, origin and trace.

    with lockstep.attributed(actor="user:7", origin="crm"):
        Article.objects.bulk_update(...)

It opens no transaction and sends no statement; statements.py sets the attribution in the database.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import Self

__all__ = ["current_trace"]


@dataclass(frozen=True, slots=True)
class Attribution:
    """Actor, origin and trace of a change."""

    actor: str | Callable[[], str] = ""
    origin: str = ""
    trace: str = ""

    @property
    def name(self) -> str:
        """The actor, evaluated now."""
        return self.actor() if callable(self.actor) else self.actor


_current: ContextVar[Attribution | None] = ContextVar("lockstep_attribution", default=None)
# The id of the request that is being served, or "": the trace where no `attributed` has one.
request_trace: ContextVar[str] = ContextVar("lockstep_request_trace", default="")


class attributed:
    """A context manager, for `with` and `async with`: changes inside have this actor, origin and trace.

    `actor` is a user or process, such as "user:7", or a function that returns it, called at each write; `origin`
    the system that a change came from, to which it is not sent back (`skip_origin`); `trace` the request or job. None
    keeps the value of the enclosing attribution. In a thread or a task queue, open `attributed(**…)` with the
    `current_attribution()` of the caller.
    """

    def __init__(
        self, actor: str | Callable[[], str] | None = None, origin: str | None = None, trace: str | None = None
    ) -> None:
        self._actor, self._origin, self._trace = actor, origin, trace
        self._token: Token[Attribution | None] | None = None

    def __enter__(self) -> Self:
        outer = _current.get() or Attribution()
        self._token = _current.set(
            Attribution(
                actor=outer.actor if self._actor is None else self._actor,
                origin=outer.origin if self._origin is None else self._origin,
                trace=outer.trace if self._trace is None else self._trace,
            )
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token:
            _current.reset(self._token)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def current_attribution() -> Mapping[str, str]:
    """The current actor, origin and trace, as arguments of `attributed`."""
    current = _current.get() or Attribution()
    return {"actor": current.name, "origin": current.origin, "trace": current.trace}


def attribution_here() -> Attribution | None:
    """The current attribution; None outside of `attributed`."""
    return _current.get()


def current_trace() -> str:
    """The current request or command; "" for none."""
    current = _current.get()
    return (current.trace if current else "") or request_trace.get()
