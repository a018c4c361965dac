"""The actor of a request: `user:<key>`, with the primary key of the user that the request is authenticated as.

Any authentication of REST framework will do. An actor is confirmed in each transaction that writes: the account must
still be active, and staff if it was. An authentication with more to confirm, such as a session that can be revoked,
puts an `Actor` of its own at `request.auth.actor`.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from lockstep.changes.attribution import Actor
from lockstep.rest.parameters import MAX_TEXT, QueryParameter, read_text, read_uuid
from lockstep.rest.routes import ID
from lockstep.rest.users import SQL, AnyUser, user_sql
from lockstep.sql import Statement

__all__ = ["actor_of"]


@dataclass(frozen=True, slots=True)
class StillActive:
    """The confirmation that a user is still active, and still staff."""

    sql: Statement
    parameters: Mapping[str, object]

    def refusal(self, confirmed: bool | None) -> Exception:
        """401 for an account that was deactivated or deleted, 403 for one that is no longer staff."""
        if confirmed is None:
            return AuthenticationFailed("The account was deactivated during the request.")
        return PermissionDenied("The staff status was removed during the request. Nothing was changed.")


def actor_of(request: Request) -> Actor:
    """The request's user as the change log names it. The transaction that writes confirms it again."""
    own = getattr(request.auth, "actor", None)
    return own if isinstance(own, Actor) else actor_of_user(request.user)


def actor_of_user(user: AnyUser) -> Actor:
    """The actor of a user; "", which needs no confirmation, of an anonymous one."""
    if not user.is_authenticated:
        return Actor("", StillActive(Statement("true"), {}))
    parameters = {"actor_user": user.pk, "actor_staff": bool(getattr(user, "is_staff", False))}
    return Actor(f"user:{user.pk}", StillActive(user_sql(SQL["still_active"], "u"), parameters))


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
