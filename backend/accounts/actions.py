"""Actions of users on their accounts. Each is one transaction, attributed to its actor."""

import secrets

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from backend.accounts.entitlement import account_transaction
from backend.accounts.models import Follow, Session, User
from backend.accounts.withdrawal import keeping_sessions
from lockstep.changes.attribution import attributed_transaction
from lockstep.rest.concurrency import ANY_VERSION, Match, lock
from lockstep.rest.errors import Conflict, Invalid, NotFound
from lockstep.rest.violations import violation
from lockstep.webhooks.actions import delete_endpoints, disable_endpoints

MISMATCH = "This is not your password."


def register(*, username: str = "", email: str = "", password: str, **names: str) -> User:
    """Creates an account. Without a username, a random one is generated, because usernames are public.

    Raises Invalid for a name or address in use, and for a password that is too weak.
    """
    user = User(username=username or random_username(), email=email, **names)
    _check_password(password, user, field="password")
    user.set_password(password)
    with attributed_transaction(actor=f"user:{user.pk}"):
        _save_unless_taken(user)
    return user


def random_username() -> str:
    """A random username such as "user-3f9a0c51d27e"."""
    return f"user-{secrets.token_hex(6)}"


def update_profile(*, actor: str, user: User, match: Match = ANY_VERSION, **values: str) -> User:
    """Changes the columns of a profile. Raises PreconditionFailed, and Invalid for a name or address in use."""
    with account_transaction(actor=actor, user=user.pk):
        mine: User = lock(User.objects.alive(), match, pk=user.pk)
        for name, value in values.items():
            setattr(mine, name, value)
        _save_unless_taken(mine)
        mine.refresh_from_db()
    return mine


def change_password(*, actor: str, user: User, session: Session | None, new: str, keep_webhooks: bool = False) -> None:
    """Replaces a password after the old one was verified; `user.password` is the hash that it matched.

    All other sessions end, and webhooks are switched off unless `keep_webhooks`: an attacker with the old password may
    have created them. Raises Invalid for a password that is too weak, and when the old one was replaced meanwhile.
    """
    _check_password(new, user, field="new_password")
    replacement = make_password(new)  # outside the transaction: it is slow on purpose
    with account_transaction(actor=actor, user=user.pk):
        _refuse_replaced_password(user, "current_password")
        with keeping_sessions(str(session.pk) if session else ""):
            User.objects.filter(pk=user.pk).update(password=replacement)
        if not keep_webhooks:
            disable_endpoints(user.pk)


def delete_account(*, actor: str, user: User, match: Match = ANY_VERSION, verified: bool = False) -> None:
    """Deletes the account. Triggers delete its password, rights, sessions and follows (sql/withdrawal.sql).

    Its name and address can be used again; they stay in the change log. `verified`: a password matched the hash
    `user.password`. Then raises Invalid when the password was replaced meanwhile.
    """
    with account_transaction(actor=actor, user=user.pk):
        lock(User.objects.alive(), match, pk=user.pk)
        if verified:
            _refuse_replaced_password(user, "password")
        gone = {"username": f"deleted {user.pk}", "email": "", "first_name": "", "last_name": ""}
        User.objects.filter(pk=user.pk).update(deleted=Now(), **gone)
        delete_endpoints(user.pk)


def sign_out(*, session: Session) -> None:
    """Closes one session, with all its tokens."""
    Session.objects.filter(pk=session.pk).revoke()


def follow(*, actor: str, follower: User, followed: User) -> None:
    """Follows a user; idempotent. Raises Conflict for the follower itself, and NotFound."""
    if follower.pk == followed.pk:
        raise Conflict("You cannot follow yourself.")
    with attributed_transaction(actor=actor):
        # Locked, so that they cannot be deleted meanwhile.
        if not User.objects.alive().select_for_update(no_key=True).filter(pk=followed.pk).exists():
            raise NotFound("There is no such user.")
        Follow.objects.bulk_create([Follow(follower=follower, followed=followed)], ignore_conflicts=True)


def unfollow(*, actor: str, follower: User, followed: User) -> None:
    """Unfollows a user; idempotent."""
    with attributed_transaction(actor=actor):
        Follow.objects.alive().filter(follower=follower, followed=followed).update(deleted=Now())


def _refuse_replaced_password(user: User, field: str) -> None:
    """Raises Invalid unless the stored hash is still the one that was verified. Within the account's transaction."""
    if not User.objects.alive().filter(pk=user.pk, password=user.password).exists():
        raise Invalid({field: MISMATCH})


def _save_unless_taken(user: User) -> None:
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:
        field, message = violation(User, error)
        if field is None:
            raise
        raise Invalid({field: message}) from error


def _check_password(password: str, user: User, *, field: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid({field: " ".join(error.messages)}) from error
