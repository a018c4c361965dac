"""Periodic work of accounts."""

from lockstep.accounts.models import Token
from lockstep.delivery.periodic import PeriodicWork, register_periodic, with_orm

register_periodic(PeriodicWork("expired-tokens", 3600.0, with_orm(lambda: Token.objects.expired().delete())))
