"""Captures every committed row change of a Django project in PostgreSQL and delivers it, in order per object.

What this module exports is the engine's public face; docs/reference.md explains each name.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from lockstep.changes.capture import EVERYBODY, STAFF, Visibility, capture
from lockstep.changes.context import attributed, current_attribution
from lockstep.delivery.declarations import resource, subscriber
from lockstep.delivery.errors import DependencyPending, Rejected, RetryLater, Unreachable
from lockstep.delivery.subscriptions import Change, Skipped

if TYPE_CHECKING:
    from lockstep.changes.imports import resync, uncaptured
    from lockstep.changes.models import history
    from lockstep.delivery.handles import subscription

__all__ = [
    "EVERYBODY",
    "STAFF",
    "Change",
    "DependencyPending",
    "Rejected",
    "RetryLater",
    "Skipped",
    "Unreachable",
    "Visibility",
    "attributed",
    "capture",
    "current_attribution",
    "history",
    "resource",
    "resync",
    "subscriber",
    "subscription",
    "uncaptured",
]

# These need a database and are imported at first access: models import this module while apps are loaded.
_LATER = {
    "history": "lockstep.changes.models",
    "resync": "lockstep.changes.imports",
    "subscription": "lockstep.delivery.handles",
    "uncaptured": "lockstep.changes.imports",
}


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
