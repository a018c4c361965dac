"""Limits of login attempts, by account and by address, under which an attacker cannot lock out the owner.

An attempt is counted before the password is verified, so that a hundred concurrent ones do not all pass, and taken back
if the password is right. Three counts, each for a while after its first attempt:

    account and address   against guessing one account; its owner signs in from another address
    address               against guessing many accounts
    account               against guessing one account from many addresses

The last two do not apply to an account that has a session from this address. The key is the account of the validated
name, so that a username, an e-mail address and all their spellings are one count. The secret of an OAuth client is
counted in the same way; registrations and new names of an account have counts of their own.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from uuid import UUID

from django.conf import settings
from django.db import connection

from backend.accounts.models import Session, User
from backend.entities.addresses import MAX_ADDRESS, name_or_address
from backend.entities.folding import fold
from lockstep.rest.encryption import derived_key
from lockstep.rest.errors import TooManyRequests
from lockstep.rest.requests import network_of
from lockstep.sql import statements

SQL = statements(__file__, "login_attempts")


@dataclass(frozen=True, slots=True)
class Limit:
    """A maximum number of attempts within a number of seconds."""

    name: str
    number: int
    seconds: float


PAIR = Limit("account and address", 10, 300.0)
ACCOUNT = Limit("account", 100, 3600.0)
ADDRESS = Limit("address", 100, 300.0)
NAMES = Limit("names tried by an account", 20, 3600.0)
NAMES_FROM = Limit("names tried from an address", 100, 3600.0)


class LoginAttempt:
    """One attempt to sign in as a user, by username or e-mail address, from an IP address."""

    def __init__(self, name: str, address: str | None) -> None:
        # Normalised as for the look-up: other spellings are no new attempts, nor is a name with surrounding blanks. No
        # account has a longer name.
        self.name = fold(name_or_address(name.strip()[:MAX_ADDRESS]))
        self.address = address
        self._keys: list[bytes] = []

    def count(self) -> None:
        """Counts the attempt. Raises TooManyRequests with the seconds to wait."""
        subject, network = self._subject, network_of(self.address)
        limits = {PAIR: f"{subject}\n{network}"}
        if not self._has_session_here:
            limits |= {ACCOUNT: subject, ADDRESS: network}
        self._keys = _count(limits)

    def reset(self) -> None:
        """Takes the attempt back after a success."""
        with connection.cursor() as cursor:
            cursor.execute(SQL["reset"], [self._keys])

    @cached_property
    def _account(self) -> UUID | None:
        """The account with this name, in any equal spelling."""
        account: UUID | None = User.objects.named(self.name).order_by().values_list("pk", flat=True).first()
        return account

    @property
    def _subject(self) -> str:
        """The account; the name itself if there is no such account."""
        return f"account {self._account}" if self._account else self.name

    @cached_property
    def _has_session_here(self) -> bool:
        """Whether this account has a session that was opened from this address."""
        if self.address is None or self._account is None:
            return False
        return Session.objects.filter(user=self._account, address=self.address).exists()


class ClientSecretAttempt(LoginAttempt):
    """One attempt with the secret of an OAuth client; `secret` is the stored hash, which identifies the client."""

    def __init__(self, secret: str, address: str | None) -> None:
        super().__init__("", address)
        self.secret = secret

    @property
    def _subject(self) -> str:
        return f"client {self.secret}"

    _has_session_here = False  # clients have no sessions of their own


def count_registration(address: str | None) -> None:
    """Counts a registration. Raises TooManyRequests for too many from this network."""
    _count({Limit("registrations", settings.REGISTRATIONS_PER_HOUR, 3600.0): network_of(address)})


def count_names(user: UUID, address: str | None) -> None:
    """Counts a new username or address of an account: the response reveals whether another account has it.

    Raises TooManyRequests.
    """
    _count({NAMES: str(user), NAMES_FROM: network_of(address)})


def delete_expired_attempts() -> None:
    """Deletes expired counts: periodic work."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["delete_expired"])


def _count(limits: Mapping[Limit, str]) -> list[bytes]:
    """Counts one attempt under each limit. Raises TooManyRequests beyond one of them."""
    keys = {_key(limit, subject): limit for limit, subject in limits.items()}
    with connection.cursor() as cursor:
        cursor.execute(SQL["count"], [list(keys), [limit.seconds for limit in keys.values()]])
        counted = [(keys[bytes(key)], number, seconds) for key, number, seconds in cursor.fetchall()]
    if waits := [seconds for limit, number, seconds in counted if number > limit.number]:
        raise TooManyRequests("Too many attempts.", retry_after=max(1, ceil(max(waits))))
    return list(keys)


def _key(limit: Limit, subject: str) -> bytes:
    """The stored key, a keyed digest: names and addresses are not stored in plain text."""
    return hmac.digest(
        derived_key("lockstep tries", settings.SECRET_KEY), f"{limit.name}\n{subject}".encode(), "sha256"
    )
