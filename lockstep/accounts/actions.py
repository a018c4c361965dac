"""What people do with their accounts. Each action is one transaction and names its actor."""

import psycopg
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from lockstep.accounts.models import Follow, Session, User
from lockstep.api.concurrency import ANY_VERSION, Match, lock
from lockstep.api.errors import Conflict, Invalid, NotFound
from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.folding import fold
from lockstep.text import name_or_address

TAKEN = {  # the field by the constraint that is hurt
    "accounts_user_username_key": "username",
    "accounts_user_username_ci": "username",
    "accounts_user_email_ci": "email",
}


def register(*, username: str = "", email: str = "", password: str, **names: str) -> User:
    """A new account; without a username it goes by its e-mail address.

    Raises Invalid for a name or address that is taken, and for a password that is too easy.
    """
    user = User(username=username or email, email=email, **names)
    if "@" in user.username and not _is_same(user.username, email):
        raise Invalid({"username": "A username with an @ must be your own e-mail address."})
    _check_password(password, user, field="password")
    user.set_password(password)
    with attributed_transaction(actor=f"user:{user.pk}"):
        _save_unless_taken(user)
    return user


def update_profile(*, actor: str, user: User, match: Match = ANY_VERSION, **values: str) -> User:
    """Changes the columns of a profile. Raises OutOfDate, and Invalid for a name or address that is taken."""
    with attributed_transaction(actor=actor):
        mine: User = lock(User.objects.alive(), match, pk=user.pk)
        named_by_address = "@" in mine.username and _is_same(mine.username, mine.email)
        for name, value in values.items():
            setattr(mine, name, value)
        if named_by_address and "username" not in values and mine.email:
            mine.username = mine.email
        if "@" in mine.username and not _is_same(mine.username, mine.email):
            raise Invalid({"username": "A username with an @ must be your own e-mail address."})
        _save_unless_taken(mine)
        mine.refresh_from_db()
    return mine


def change_password(*, actor: str, user: User, session: Session | None, new: str) -> None:
    """A new password, for somebody who has just shown the old one. Raises Invalid for one that is too easy.

    All other sessions of the user end: whoever knew the old one is out.
    """
    _check_password(new, user, field="new_password")
    with attributed_transaction(actor=actor):
        mine = lock(User.objects.alive(), ANY_VERSION, pk=user.pk)
        mine.set_password(new)
        mine.save(update_fields=["password"])
        mine.sessions.exclude(pk=session.pk if session else None).revoke()


def delete_account(*, actor: str, user: User, match: Match = ANY_VERSION) -> None:
    """Deletes the account and signs out everywhere; whom it followed, and who followed it, is undone with it.

    Its name and address are free again; the change log has what they were.
    """
    with attributed_transaction(actor=actor):
        lock(User.objects.alive(), match, pk=user.pk)
        gone = {"username": f"deleted {user.pk}", "email": "", "first_name": "", "last_name": ""}
        User.objects.filter(pk=user.pk).update(deleted=Now(), **gone)
        Session.objects.filter(user=user).revoke()
        Follow.objects.alive().filter(follower=user).update(deleted=Now())
        Follow.objects.alive().filter(followed=user).update(deleted=Now())


def sign_out(*, session: Session) -> None:
    """Closes one session, with all its tokens."""
    Session.objects.filter(pk=session.pk).revoke()


def follow(*, actor: str, follower: User, followed: User) -> None:
    """Once is enough: following somebody again changes nothing. Raises Conflict for oneself, NotFound."""
    if follower.pk == followed.pk:
        raise Conflict("Nobody follows themselves.")
    with attributed_transaction(actor=actor):
        # Locked, so that they cannot be deleted meanwhile.
        if not User.objects.alive().select_for_update(no_key=True).filter(pk=followed.pk).exists():
            raise NotFound("There is no such user.")
        Follow.objects.bulk_create([Follow(follower=follower, followed=followed)], ignore_conflicts=True)


def unfollow(*, actor: str, follower: User, followed: User) -> None:
    """Not following somebody is no error."""
    with attributed_transaction(actor=actor):
        Follow.objects.alive().filter(follower=follower, followed=followed).update(deleted=Now())


def _save_unless_taken(user: User) -> None:
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:
        hurt = error.__cause__.diag.constraint_name if isinstance(error.__cause__, psycopg.Error) else None
        if hurt not in TAKEN:
            raise
        raise Invalid({TAKEN[hurt]: "Somebody has this one already."}) from error


def _is_same(name: str, address: str) -> bool:
    return fold(name_or_address(name)) == fold(name_or_address(address))


def _check_password(password: str, user: User, *, field: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid({field: " ".join(error.messages)}) from error
