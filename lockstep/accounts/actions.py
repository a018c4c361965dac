"""What people do with their accounts. Each action is one transaction and names its actor."""

import secrets

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from lockstep.accounts.entitlement import account_transaction
from lockstep.accounts.models import Follow, Session, User, keeping_sessions
from lockstep.api import endings
from lockstep.api.concurrency import ANY_VERSION, Match, lock
from lockstep.api.errors import Conflict, Invalid, NotFound
from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.violations import violation

MISMATCH = "This is not your password."


def register(*, username: str = "", email: str = "", password: str, **names: str) -> User:
    """A new account. Without a username it gets a made-up one, because others see it: its address signs in.

    Raises Invalid for a name or address that is taken, and for a password that is too easy.
    """
    user = User(username=username or made_up_username(), email=email, **names)
    _check_password(password, user, field="password")
    user.set_password(password)
    with attributed_transaction(actor=f"user:{user.pk}"):
        _save_unless_taken(user)
    return user


def made_up_username() -> str:
    """A username that says nothing about its user, such as "user-3f9a0c51d27e"."""
    return f"user-{secrets.token_hex(6)}"


def update_profile(*, actor: str, user: User, match: Match = ANY_VERSION, **values: str) -> User:
    """Changes the columns of a profile. Raises OutOfDate, and Invalid for a name or address that is taken."""
    with account_transaction(actor=actor, user=user.pk):
        mine: User = lock(User.objects.alive(), match, pk=user.pk)
        for name, value in values.items():
            setattr(mine, name, value)
        _save_unless_taken(mine)
        mine.refresh_from_db()
    return mine


def change_password(*, actor: str, user: User, session: Session | None, new: str, keep_webhooks: bool = False) -> None:
    """Replaces the password of a user whose old one was verified: `user.password` is the hash that it matched.

    All other sessions end, and webhooks are switched off unless they are kept: the old password may have made them.
    Raises Invalid for a password that is too easy, and when the old one was replaced meanwhile.
    """
    _check_password(new, user, field="new_password")
    replacement = make_password(new)  # outside the transaction: it is slow on purpose
    with account_transaction(actor=actor, user=user.pk):
        _refuse_replaced_password(user, "current_password")
        with keeping_sessions(str(session.pk) if session else ""):
            User.objects.filter(pk=user.pk).update(password=replacement)
        if not keep_webhooks:
            endings.password_replaced(user.pk)


def delete_account(*, actor: str, user: User, match: Match = ANY_VERSION, verified: bool = False) -> None:
    """Deletes the account. Its password, rights, sessions and follows go with it, by triggers (sql/withdrawal.sql).

    Its name and address are free again; the change log has what they were. `verified` says that `user.password` is the
    hash that the given password matched: raises Invalid when it was replaced meanwhile.
    """
    with account_transaction(actor=actor, user=user.pk):
        lock(User.objects.alive(), match, pk=user.pk)
        if verified:
            _refuse_replaced_password(user, "password")
        gone = {"username": f"deleted {user.pk}", "email": "", "first_name": "", "last_name": ""}
        User.objects.filter(pk=user.pk).update(deleted=Now(), **gone)
        endings.account_ended(user.pk)


def sign_out(*, session: Session) -> None:
    """Closes one session, with all its tokens."""
    Session.objects.filter(pk=session.pk).revoke()


def follow(*, actor: str, follower: User, followed: User) -> None:
    """Once is enough: following somebody again changes nothing. Raises Conflict for oneself, NotFound."""
    if follower.pk == followed.pk:
        raise Conflict("You cannot follow yourself.")
    with attributed_transaction(actor=actor):
        # Locked, so that they cannot be deleted meanwhile.
        if not User.objects.alive().select_for_update(no_key=True).filter(pk=followed.pk).exists():
            raise NotFound("There is no such user.")
        Follow.objects.bulk_create([Follow(follower=follower, followed=followed)], ignore_conflicts=True)


def unfollow(*, actor: str, follower: User, followed: User) -> None:
    """Not following somebody is no error."""
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
        field, sentence = violation(User, error)
        if field is None:
            raise
        raise Invalid({field: sentence}) from error


def _check_password(password: str, user: User, *, field: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid({field: " ".join(error.messages)}) from error
