"""The base model of entities: an id, times, a version, and a soft deletion that keeps the history."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any, Self, TypeVar

import pgtrigger
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from lockstep.changes.models import UUID7
from lockstep.rest.violations import ALIVE_SUFFIX, field_of
from lockstep.sql import identifier, literal, statements


class NextNumber(models.Func):
    """The next integer of a sequence: the number of an entity for people and for outside systems."""

    template = "nextval('%(sequence)s')"
    output_field = models.BigIntegerField()

    def __init__(self, sequence: str) -> None:
        super().__init__(sequence=sequence)


E = TypeVar("E", bound=models.Model)


class EntityQuerySet(models.QuerySet[E]):
    """Filters that every entity has."""

    def alive(self) -> Self:
        """Entities that are not softly deleted: only these are visible in APIs."""
        return self.filter(deleted=None)


class Entity(models.Model):
    """A row with an id, times in UTC and a version, which the database maintains for every writer."""

    # Generated here by default, so that bulk_create knows the keys; by the database for all other writers.
    id = models.UUIDField(primary_key=True, editable=False, default=uuid7, db_default=UUID7())
    created = models.DateTimeField(editable=False, db_default=Now())
    updated = models.DateTimeField(editable=False, db_default=Now())
    deleted = models.DateTimeField(editable=False, null=True, default=None)
    # Incremented by a trigger at every change of the row. The ETag is made of it.
    version = models.BigIntegerField(editable=False, db_default=1)

    class Meta:
        abstract = True

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        """Raises ValidationError, with each message under its field.

        Forms exclude `deleted`, because they have no such field. It is validated all the same: Django would skip the
        constraints of rows that are not deleted.
        """
        considered = set(exclude or ()) - {"deleted"}
        messages = defaultdict(list)
        for model, constraints in self.get_constraints():
            for constraint in constraints:
                try:
                    constraint.validate(model, self, exclude=considered)
                except ValidationError as error:
                    messages[field_of(constraint) or NON_FIELD_ERRORS].extend(error.messages)
        if messages:
            raise ValidationError(messages)


SQL = statements(__file__, "entities")
BUMP_VERSION = pgtrigger.Trigger(
    name="touch",
    when=pgtrigger.Before,
    operation=pgtrigger.Update,
    condition=pgtrigger.AnyChange(),
    func=SQL["bump_version"],
)


def number_field(sequence: str) -> "models.BigIntegerField[int, int]":
    """The column `number`, with the next value of a sequence, which the app's first migration creates."""
    return models.BigIntegerField(unique=True, editable=False, db_default=NextNumber(sequence))


class AliveParent(pgtrigger.Trigger):
    """Refuses a row whose parent is softly deleted: when it is inserted or restored, or gets another parent.

    The parent is locked as by a foreign key: it cannot be deleted meanwhile, and a later deletion finds the row.
    """

    def __init__(self, *, field: str, **options: Any) -> None:  # noqa: ANN401 - pgtrigger's options
        self.field = field
        super().__init__(when=pgtrigger.Before, **options)

    @classmethod
    def of(cls, field: str) -> "list[AliveParent]":
        """The triggers for the parent of this foreign key."""
        return [cls(name=f"alive_{field}_insert", field=field, operation=pgtrigger.Insert), cls.of_updates(field)]

    @classmethod
    def of_updates(cls, field: str) -> "AliveParent":
        """The trigger for updates alone, for a model that checks inserted rows per statement."""
        changed = pgtrigger.UpdateOf(f"{field}_id", "deleted")  # type: ignore[no-untyped-call]
        return cls(name=f"alive_{field}_update", field=field, operation=changed)

    def get_condition(self, model: Any) -> Any:  # noqa: ANN401 - pgtrigger means the class, and has conditions
        """Rows that are not deleted; for updates only those that were deleted or had another parent."""
        if self.operation == pgtrigger.Insert:
            return pgtrigger.Condition(SQL["inserted_alive"])
        column = identifier(model._meta.get_field(self.field).column)
        return pgtrigger.Condition(SQL["restored_or_moved"].with_parts(column=column))

    def get_func(self, model: Any) -> str:  # noqa: ANN401 - pgtrigger means the class
        """The trigger's body."""
        field = model._meta.get_field(self.field)
        parent = field.remote_field.model._meta
        return SQL["check_parent"].with_parts(
            column=identifier(field.column),
            parent=identifier(parent.db_table),
            key=identifier(field.target_field.column),
            label=literal(parent.label_lower),
            constraint=literal(f"{model._meta.db_table}_{field.column}{ALIVE_SUFFIX}"),
        )
