"""What else ends when an account is deleted or its password is replaced, in the same transaction.

Apps whose rows belong to users say it here, because accounts know none of them: `register_ending` beside what they
register for delivery. It is for what is more than a deletion: an endpoint of webhooks loses its address, its secrets
and its subscription. Rows that are only deleted go by triggers, also where SQL deletes the account
(`deletes_of_user` in changes/dependents.py).
"""

from collections.abc import Callable
from uuid import UUID

Ending = Callable[[UUID], None]  # takes the user's id

_of_account: list[Ending] = []
_of_password: list[Ending] = []


def register_ending(*, account: Ending | None = None, password: Ending | None = None) -> None:
    """Calls `account` when an account is deleted, and `password` when its password is replaced."""
    _of_account.extend([account] if account else [])
    _of_password.extend([password] if password else [])


def account_ended(user: UUID) -> None:
    """Ends what belongs to a deleted account. Within the transaction that deletes it, and locks its row."""
    for ending in _of_account:
        ending(user)


def password_replaced(user: UUID) -> None:
    """Ends what was set up with a password that is replaced. Within the transaction that replaces it."""
    for ending in _of_password:
        ending(user)
