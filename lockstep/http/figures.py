"""How operations of providers' clients end, and how long they take: counted here until a worker stores it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from lockstep.http.errors import ProviderError

__all__ = ["measured"]

MAX_SERIES = 500  # pairs of a provider and an outcome; others are not counted

# Outcomes of failures are the kinds of ProviderError; that of a success is empty.
SUCCESS = ""


@dataclass(slots=True)
class Figure:
    """The operations of one provider that ended in one way: their number, and their time in seconds."""

    provider: str
    outcome: str
    operations: int = 0
    seconds: float = 0.0
    slowest: float = 0.0


_lock = Lock()
_figures: dict[tuple[str, str], Figure] = {}


@contextmanager
def measured(provider: str) -> Iterator[None]:
    """Counts one operation by its ProviderError, or as a success.

    One that ends otherwise is not counted, nor one without a provider.
    """
    began = time.monotonic()
    try:
        yield
    except ProviderError as error:
        _count(provider, type(error).__name__, time.monotonic() - began)
        raise
    _count(provider, SUCCESS, time.monotonic() - began)


def take_figures() -> list[Figure]:
    """What was counted since the last call."""
    with _lock:
        taken = list(_figures.values())
        _figures.clear()
    return taken


def _count(provider: str, outcome: str, seconds: float) -> None:
    if not provider:  # its hosts may be many, and each name is a row a minute
        return
    with _lock:
        if (provider, outcome) not in _figures and len(_figures) >= MAX_SERIES:
            return
        figure = _figures.setdefault((provider, outcome), Figure(provider, outcome))
        figure.operations += 1
        figure.seconds += seconds
        figure.slowest = max(figure.slowest, seconds)
