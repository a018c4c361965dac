"""Periodic work of accounts."""

from django.contrib.sessions.backends.db import SessionStore

from backend.accounts.models import Session, Token
from backend.accounts.throttling import delete_expired_attempts
from lockstep.delivery.periodic import PeriodicWork, register_periodic, with_orm


def remove_expired() -> None:
    """Deletes expired sessions, of tokens and of pages, expired tokens of open sessions, and counts of attempts."""
    Session.objects.expired().delete()
    Token.objects.expired().delete()
    delete_expired_attempts()
    SessionStore.clear_expired()


register_periodic(PeriodicWork("expired-tokens", 3600.0, with_orm(remove_expired)))
