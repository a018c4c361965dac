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
# The request, command or job that is being carried out; "" for none. A request sets it, and so does `attributed`.
current_trace: ContextVar[str] = ContextVar("lockstep_trace", default="")


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
        self._tokens: tuple[Token[Attribution | None], Token[str]] | None = None

    def __enter__(self) -> Self:
        outer = _current.get() or Attribution()
        inner = Attribution(
            actor=outer.actor if self._actor is None else self._actor,
            origin=outer.origin if self._origin is None else self._origin,
            trace=current_trace.get() if self._trace is None else self._trace,
        )
        self._tokens = _current.set(inner), current_trace.set(inner.trace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._tokens:
            of_attribution, of_trace = self._tokens
            _current.reset(of_attribution)
            current_trace.reset(of_trace)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def current_attribution() -> Mapping[str, str]:
    """The current actor, origin and trace, as arguments of `attributed`."""
    current = _current.get() or Attribution()
    return {"actor": current.name, "origin": current.origin, "trace": current_trace.get()}


def attribution_here() -> Attribution | None:
    """The current attribution; None outside of `attributed`."""
    return _current.get()
