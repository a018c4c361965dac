"""Periodic work of accounts."""

from lockstep.accounts.models import Session, Token
from lockstep.accounts.throttling import forget_tries
from lockstep.delivery.periodic import PeriodicWork, register_periodic, with_orm


def remove_expired() -> None:
    """Sessions with all that hangs from them, refresh tokens of sessions that go on, and counts of tries."""
    Session.objects.expired().delete()
    Token.objects.expired().delete()
    forget_tries()


register_periodic(PeriodicWork("expired-tokens", 3600.0, with_orm(remove_expired)))
