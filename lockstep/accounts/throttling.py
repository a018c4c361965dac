"""Sign-in is throttled, by account and by address, and nobody is locked out by what others try.

A try is counted before the password is looked at, so that a hundred at once do not all pass, and taken back when it was
right. Three counts, each for a while after its first try:

    who, from where    guessing one account                     also for its owner, from there only
    from where         guessing many accounts, or making many   \\ not for an account that has been signed in to
    who                guessing one account from many addresses /  from this very address lately

What is counted is what will be acted on: the validated name, and the account that it stands for, so that a username, an
address and all their spellings are one count. The secret of an OAuth client is counted in the same way.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import connection

from lockstep.accounts.models import Session, User
from lockstep.api.errors import TooManyRequests
from lockstep.api.requests import network_of
from lockstep.api.sealing import derived_key
from lockstep.changes.folding import fold
from lockstep.changes.sql_file import load
from lockstep.text import MAX_ADDRESS, name_or_address

SQL = load(Path(__file__).parent / "sql" / "tries.sql")


@dataclass(frozen=True, slots=True)
class Limit:
    """So many tries within so many seconds."""

    name: str
    number: int
    seconds: float


PAIR = Limit("account and address", 10, 300.0)
ACCOUNT = Limit("account", 100, 3600.0)
ADDRESS = Limit("address", 100, 300.0)


NAMES = Limit("names tried by an account", 20, 3600.0)
NAMES_FROM = Limit("names tried from an address", 100, 3600.0)


class Try:
    """One try to sign in as a user, by username or e-mail address, from an address."""

    def __init__(self, name: str, address: str | None) -> None:
        # As it will be looked for: other spellings are no new tries, and neither is a name with blanks around it, which
        # signs nobody in. No account has a longer name.
        self.name = fold(name_or_address(name.strip()[:MAX_ADDRESS]))
        self.address = address
        self._keys: list[bytes] = []

    def count(self) -> None:
        """Raises TooManyRequests, with the seconds after which another try may help."""
        who, network = self._who, network_of(self.address)
        limits = {PAIR: f"{who}\n{network}"}
        if not self._at_home:
            limits |= {ACCOUNT: who, ADDRESS: network}
        self._keys = _count(limits)

    def forgive(self) -> None:
        """It was right: it does not count."""
        with connection.cursor() as cursor:
            cursor.execute(SQL["forgive"], [self._keys])

    @cached_property
    def _account(self) -> UUID | None:
        """The account that the name stands for, in any equal spelling."""
        account: UUID | None = User.objects.named(self.name).order_by().values_list("pk", flat=True).first()
        return account

    @property
    def _who(self) -> str:
        """What is counted under: the account, whatever it is called; the name itself where there is none."""
        return f"account {self._account}" if self._account else self.name

    @cached_property
    def _at_home(self) -> bool:
        """Whether this account has a session that was opened from this very address."""
        if self.address is None or self._account is None:
            return False
        return Session.objects.filter(user=self._account, address=self.address).exists()


class ClientTry(Try):
    """One try to show the secret of an OAuth client; `secret` is the stored hash, which stands for the client."""

    def __init__(self, secret: str, address: str | None) -> None:
        super().__init__("", address)
        self.secret = secret

    @property
    def _who(self) -> str:
        return f"client {self.secret}"

    _at_home = False  # clients have no sessions of their own


def count_registration(address: str | None) -> None:
    """Raises TooManyRequests when too many accounts were made from there."""
    _count({Limit("registrations", settings.REGISTRATIONS_PER_HOUR, 3600.0): network_of(address)})


def count_names(user: UUID, address: str | None) -> None:
    """Counts a username or address that an account wants to go by: the answer tells whether another account has it.

    Raises TooManyRequests.
    """
    _count({NAMES: str(user), NAMES_FROM: network_of(address)})


def forget_tries() -> None:
    """Removes what is no longer counted: periodic work."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["forget"])


def _count(limits: Mapping[Limit, str]) -> list[bytes]:
    """Counts one try under each limit; raises TooManyRequests when one is passed."""
    keys = {_key(limit, who): limit for limit, who in limits.items()}
    with connection.cursor() as cursor:
        cursor.execute(SQL["count"], [list(keys), [limit.seconds for limit in keys.values()]])
        counted = [(keys[bytes(key)], number, seconds) for key, number, seconds in cursor.fetchall()]
    if waits := [seconds for limit, number, seconds in counted if number > limit.number]:
        raise TooManyRequests("Too many attempts.", retry_after=max(1, ceil(max(waits))))
    return list(keys)


def _key(limit: Limit, who: str) -> bytes:
    """What is counted under: names of people and their addresses are not kept in the clear."""
    return hmac.digest(derived_key("lockstep tries", settings.SECRET_KEY), f"{limit.name}\n{who}".encode(), "sha256")
