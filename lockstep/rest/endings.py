"""Callbacks for the deletion of an account and for a new password, in the same transaction.

Apps whose rows belong to users register them, because accounts does not depend on these apps: `register_ending` in
subscribers.py. They are for more than a deletion: an endpoint of webhooks loses its URL, its secrets and its
subscription. Rows that are only deleted are deleted by triggers, also when SQL deletes the account (`deletes_of_user`
in entities/dependents.py).
"""

from collections.abc import Callable
from uuid import UUID

Ending = Callable[[UUID], None]  # takes the user's id

_of_account: list[Ending] = []
_of_password: list[Ending] = []


def register_ending(*, account: Ending | None = None, password: Ending | None = None) -> None:
    """Registers `account` for the deletion of an account, and `password` for a new password."""
    _of_account.extend([account] if account else [])
    _of_password.extend([password] if password else [])


def account_ended(user: UUID) -> None:
    """Calls the callbacks for a deleted account, within the transaction that deletes it and locks its row."""
    for ending in _of_account:
        ending(user)


def password_replaced(user: UUID) -> None:
    """Calls the callbacks for a replaced password, within the transaction that replaces it."""
    for ending in _of_password:
        ending(user)
