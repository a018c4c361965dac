"""The project's user model in SQL. Any model with any primary key will do.

A user is active by the column `is_active`, and staff by `is_staff`; without these columns every user is active, and
no one is staff. Where the user model's capture names a `soft_delete` column, a deleted user is not active.
"""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import FieldDoesNotExist
from django.db import DEFAULT_DB_ALIAS, models, router

from lockstep.changes.capture import capture_of
from lockstep.changes.columns import column_of, table_of
from lockstep.conf import lockstep_settings
from lockstep.sql import Statement, identifier, statements

__all__ = ["AnyUser"]

AnyUser = Any  # an instance of the project's user model
SQL = statements(__file__, "users")


def user_sql(statement: Statement, alias: str) -> Statement:
    """The statement with {users}, {key}, {is_active} and {is_staff} of the user model, whose table has this alias."""
    user = get_user_model()
    active = _column(user, "is_active", alias) or Statement("true")
    capture = capture_of(user)
    if capture and capture.soft_delete and (deleted := _column(user, capture.soft_delete, alias)):
        active = SQL["active_and_alive"].with_parts(active=active, deleted=deleted)
    return statement.with_parts(
        users=table_of(user),
        key=_own_column(user, "pk", alias),
        is_active=active,
        is_staff=_column(user, "is_staff", alias) or Statement("false"),
    )


def _own_column(user: type[models.Model], name: str, alias: str) -> Statement:
    return Statement("{alias}.{column}").with_parts(alias=Statement(alias), column=identifier(column_of(user, name)))


def _column(user: type[models.Model], name: str, alias: str) -> Statement | None:
    """The column of a field; None if there is no such field. That of a parent model is read from the parent's table."""
    try:
        field = user._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    owner, column = field.model, identifier(str(getattr(field, "column", name)))
    if owner._meta.db_table == user._meta.db_table:
        return Statement("{alias}.{column}").with_parts(alias=Statement(alias), column=column)
    return SQL["of_parent"].with_parts(
        column=column,
        parent=table_of(owner),
        key=identifier(column_of(owner, "pk")),
        own_key=_own_column(user, "pk", alias),
    )


@register(Tags.models)
def users_are_readable(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Checks that SQL can read the user model: its database, and whether a user is active."""
    user = get_user_model()
    found: list[CheckMessage] = []
    if isinstance(getattr(user, "is_active", None), property):
        hint = "Make it a field: webhooks and the feed ask the database whether a user is active."
        found.append(Error(f"{user._meta.label}.is_active is a property.", hint=hint, obj=user, id="lockstep.E028"))
    databases = {"users are": router.db_for_write(user), "the change log is": lockstep_settings.DATABASE}
    for what, alias in databases.items():
        if alias != DEFAULT_DB_ALIAS:
            hint = f"lockstep.rest, lockstep.webhooks and lockstep.feed need both in {DEFAULT_DB_ALIAS!r}."
            message = f"In this project {what} in the database {alias!r}."
            found.append(Error(message, hint=hint, obj=user, id="lockstep.E029"))
    return found
