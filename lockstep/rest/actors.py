"""The actor of a request: `user:<key>`, with the primary key of the user that the request is authenticated as.

Any authentication of REST framework will do. An actor is confirmed in each transaction that writes: the account must
still be active, and staff if it was. Credentials with more to confirm, such as a session that can be revoked, say it by
`request.auth.actor_confirmation`: an expression to use instead of `still_active` (sql/users.sql), with the primary key
of the credentials as %(actor_session)s.
"""

from contextlib import suppress
from typing import Self

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from lockstep.changes.attribution import Actor
from lockstep.rest.parameters import MAX_TEXT, QueryParameter, read_text, read_uuid
from lockstep.rest.routes import ID
from lockstep.rest.users import SQL, AnyUser, user_sql

__all__ = ["actor_of"]


class UserActor(Actor):
    """A user, with the credentials of the request, if any; "", which needs no confirmation, for an anonymous user."""

    def __new__(cls, user: AnyUser, credentials: object = None) -> Self:
        if not user.is_authenticated:
            return super().__new__(cls, "")
        actor = super().__new__(cls, f"user:{user.pk}")
        actor.sql = getattr(credentials, "actor_confirmation", None) or user_sql(SQL["still_active"], "u")
        actor.parameters = {
            "actor_user": user.pk,
            "actor_staff": bool(getattr(user, "is_staff", False)),
            "actor_session": getattr(credentials, "pk", None),
        }
        return actor

    def refusal(self, confirmed: bool | None) -> Exception:
        """401 when the account or the session has ended, 403 when the user is no longer staff."""
        if confirmed is None:
            return AuthenticationFailed("The session or the account ended during the request. Sign in again.")
        return PermissionDenied("The staff status was removed during the request. Nothing was changed.")


def actor_of(request: Request) -> Actor:
    """The request's user as the change log names it. The transaction that writes confirms it again."""
    return UserActor(request.user, request.auth)


def key_of(actor: str | None) -> object:
    """The primary key of the user that an actor names; None if it names none."""
    kind, _, key = (actor or "").partition(":")
    if kind != "user":
        return None
    try:
        return get_user_model()._meta.pk.to_python(key)
    except ValidationError:
        return None


def actor_parameter(name: str, description: str) -> QueryParameter:
    """A query parameter that is an actor of the change log."""
    if isinstance(get_user_model()._meta.pk, models.UUIDField):
        return QueryParameter(name, {"type": "string", "pattern": f"^user:{ID}$"}, _read_uuid_actor, description)
    return QueryParameter(name, {"type": "string", "pattern": "^user:."}, _read_actor, description)


def _read_uuid_actor(value: str) -> str:
    kind, _, key = value.partition(":")
    if kind == "user":
        with suppress(ValueError):  # replaced by the message below
            return f"user:{read_uuid(key)}"
    raise ValueError("Must be user:<id>, with the UUID of a user.")


def _read_actor(value: str) -> str:
    key = key_of(read_text(value, MAX_TEXT))
    if key is None:
        raise ValueError("Must be user:<id>, with the key of a user.")
    return f"user:{key}"
