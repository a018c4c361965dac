"""Periodic work of the API."""

from lockstep.delivery.periodic import PeriodicWork, register_periodic, with_orm
from lockstep.rest.models import IdempotencyRecord


def remove_expired() -> None:
    """Removes expired idempotency records."""
    IdempotencyRecord.objects.expired().delete()


register_periodic(PeriodicWork("expired-answers", 3600.0, with_orm(remove_expired)))
