"""Periodic work of the API."""

from lockstep.api.models import Answer
from lockstep.delivery.periodic import PeriodicWork, register_periodic, with_orm


def remove_expired() -> None:
    """Answers that are not given again any more."""
    Answer.objects.expired().delete()


register_periodic(PeriodicWork("expired-answers", 3600.0, with_orm(remove_expired)))
