"""Confirmation, in the transaction that writes, that a user may still write.

A request is authenticated early and writes later: in between the account may be deleted or deactivated, the session
revoked, the password changed, the staff status removed. So the actor of a request (lockstep/rest/actors.py) holds its
credentials, and `attributed_transaction` confirms them in its first round trip:

1. The confirmation locks the rows of user and session FOR KEY SHARE, in this order, until the transaction ends.
   Ordinary updates of these rows do not wait for that.
2. A withdrawal of rights locks the same row FOR UPDATE, by a trigger (sql/withdrawal.sql), for every writer.

So a write commits before the withdrawal, or is refused with 401 or 403 and leaves nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied as NotEntitled
from django.db import transaction

from lockstep.changes.attribution import Actor, attributed_transaction
from lockstep.rest.users import AnyUser
from lockstep.sql import statements

ENTITLEMENT = statements(__file__, "entitlement")


class AdminActor(Actor):
    """The user of a request of the admin, whose errors are Django's pages.

    The confirmation checks that the user is staff, and has the password that the session was verified against when the
    request was authenticated.
    """

    sql = ENTITLEMENT["of_admin"]

    def __new__(cls, user: AnyUser) -> Self:
        actor = super().__new__(cls, f"user:{user.pk}")
        actor.parameters = {"actor_user": user.pk, "actor_password": user.password}
        return actor

    def refusal(self, confirmed: bool | None) -> Exception:
        """403 in any case: the next page redirects to the sign-in."""
        return NotEntitled("Your account changed while the page was being saved. Nothing was saved; sign in again.")


def lock_account(user: object) -> None:
    """Locks a user's row FOR UPDATE until the transaction ends: waits for, and blocks, all writes of this user."""
    get_user_model().objects.select_for_update().filter(pk=user).order_by().values_list("pk").first()


@contextmanager
def account_transaction(*, actor: str, user: object) -> Iterator[None]:
    """An attributed transaction that changes the rights of a user.

    The account is locked before the actor is confirmed: otherwise two such transactions for one account would each hold
    the lock of their own confirmation and wait for the other's.
    """
    with transaction.atomic():
        lock_account(user)
        with attributed_transaction(actor=actor):
            yield
