"""The engine's models, for Django's discovery."""

from lockstep.changes.models import Change
from lockstep.delivery.models import (
    Attempt,
    DeadLetter,
    Delivery,
    Epoch,
    Lane,
    PeriodicTask,
    Place,
    Subscription,
    WorkerHeartbeat,
)

__all__ = [
    "Attempt",
    "Change",
    "DeadLetter",
    "Delivery",
    "Epoch",
    "Lane",
    "PeriodicTask",
    "Place",
    "Subscription",
    "WorkerHeartbeat",
]
