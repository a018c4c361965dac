"""Providers: the remote systems that a project declares, and how they answered its workers.

register_provider(Provider("payments", subscriptions=("shop-payments",)))
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from lockstep.delivery.database import Connection
from lockstep.http.figures import take_figures
from lockstep.sql import statements

__all__ = ["Freshness", "Provider", "register_provider"]

SQL = statements(__file__, "providers")

KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh what we have of a provider is: a sentence, when it was last read, and whether that is well."""

    sentence: str
    at: datetime | None
    is_well: bool


@dataclass(frozen=True, slots=True)
class Provider:
    """A remote system. `name` is that of its client's operations, `subscriptions` are those that push to it.

    `freshness` reads our database, with a constant number of queries.
    """

    name: str
    subscriptions: tuple[str, ...] = ()
    freshness: Callable[[], Freshness] | None = None


_registered: dict[str, Provider] = {}


def register_provider(provider: Provider) -> None:
    """Declares a provider, which the console then shows."""
    _registered[provider.name] = provider


def declared_providers() -> list[Provider]:
    """The declared providers, by name."""
    return [_registered[name] for name in sorted(_registered)]


async def store_figures(connection: Connection) -> None:
    """Adds what this process has counted since the last call to the table."""
    if figures := take_figures():
        await connection.execute(
            SQL["store"],
            {
                "providers": [figure.provider for figure in figures],
                "outcomes": [figure.outcome for figure in figures],
                "operations": [figure.operations for figure in figures],
                "seconds": [figure.seconds for figure in figures],
                "slowest": [figure.slowest for figure in figures],
            },
        )
