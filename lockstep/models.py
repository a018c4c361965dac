"""The engine's models, for Django's discovery."""

from lockstep.changes.models import LoggedChange
from lockstep.delivery.models import (
    Attempt,
    DeadLetter,
    Delivery,
    Epoch,
    Lane,
    PeriodicTask,
    Place,
    ProviderMinute,
    Subscription,
    WorkerHeartbeat,
)

__all__ = [
    "Attempt",
    "DeadLetter",
    "Delivery",
    "Epoch",
    "Lane",
    "LoggedChange",
    "PeriodicTask",
    "Place",
    "ProviderMinute",
    "Subscription",
    "WorkerHeartbeat",
]
