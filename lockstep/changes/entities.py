"""What every entity has: an id, its times, and a soft deletion that keeps its history."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any, Self, TypeVar

import pgtrigger
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from lockstep.changes.violations import ALIVE_SUFFIX, field_of


class UUID7(models.Func):
    """A time-ordered UUID made by the database, so that rows written in psql get one too."""

    function = "lockstep_uuid7"
    template = "%(function)s()"
    output_field = models.UUIDField()


class NextNumber(models.Func):
    """The next small integer of a sequence: what people and outside systems call an entity by."""

    template = "nextval('%(sequence)s')"
    output_field = models.BigIntegerField()

    def __init__(self, sequence: str) -> None:
        super().__init__(sequence=sequence)


E = TypeVar("E", bound=models.Model)
Somebody = Any  # the project's user, whichever model that is: the apps below the accounts do not know it


class EntityQuerySet(models.QuerySet[E]):
    """Reads that every entity has."""

    def alive(self) -> Self:
        """Those that are not softly deleted: all that an API ever shows."""
        return self.filter(deleted=None)


class Entity(models.Model):
    """A row with identity and times in UTC, kept by the database whoever writes it."""

    # Made here by default, so that bulk_create knows the keys of what it made; by the database for everybody else.
    id = models.UUIDField(primary_key=True, editable=False, default=uuid7, db_default=UUID7())
    created = models.DateTimeField(editable=False, db_default=Now())
    updated = models.DateTimeField(editable=False, db_default=Now())
    deleted = models.DateTimeField(editable=False, null=True, default=None)
    # Counted by the database at every change of the row: what an ETag is made of.
    version = models.BigIntegerField(editable=False, db_default=1)

    class Meta:
        abstract = True

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        """Raises ValidationError, with each sentence under the field that it is about.

        `deleted` is excluded by every form, as a field that no form has; what holds for rows that are not deleted
        would then be left out.
        """
        considered = set(exclude or ()) - {"deleted"}
        sentences = defaultdict(list)
        for model, constraints in self.get_constraints():
            for constraint in constraints:
                try:
                    constraint.validate(model, self, exclude=considered)
                except ValidationError as error:
                    sentences[field_of(constraint) or NON_FIELD_ERRORS].extend(error.messages)
        if sentences:
            raise ValidationError(sentences)


TOUCH = pgtrigger.Trigger(
    name="touch",
    when=pgtrigger.Before,
    operation=pgtrigger.Update,
    condition=pgtrigger.AnyChange(),
    func="NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;",
)


def number_field(sequence: str) -> "models.BigIntegerField[int, int]":
    """`number`, drawn from the named sequence (which the app's first migration makes)."""
    return models.BigIntegerField(unique=True, editable=False, db_default=NextNumber(sequence))


ALIVE = """
IF NEW.{column} IS NOT NULL THEN
    PERFORM FROM {parent} WHERE {key} = NEW.{column} AND deleted IS NULL FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION '{label} % does not exist or is deleted.', NEW.{column}
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = '{constraint}';
    END IF;
END IF;
RETURN NEW;
"""


class AliveParent(pgtrigger.Trigger):
    """Refuses a row whose parent is softly deleted: one that is inserted, revived, or handed to another parent.

    The parent is locked as a foreign key locks it: it is not deleted meanwhile, and whatever deletes it finds the row.
    """

    def __init__(self, *, field: str, **options: Any) -> None:  # noqa: ANN401 - pgtrigger's options
        self.field = field
        super().__init__(when=pgtrigger.Before, **options)

    @classmethod
    def of(cls, field: str) -> "list[AliveParent]":
        """The triggers that hold the parent behind this foreign key to be alive."""
        return [cls(name=f"alive_{field}_insert", field=field, operation=pgtrigger.Insert), cls.of_updates(field)]

    @classmethod
    def of_updates(cls, field: str) -> "AliveParent":
        """The one of these that looks at updates, for a model that checks its inserted rows by statement."""
        changed: Any = pgtrigger.UpdateOf(f"{field}_id", "deleted")  # type: ignore[no-untyped-call]
        return cls(name=f"alive_{field}_update", field=field, operation=changed)

    def get_condition(self, model: Any) -> Any:  # noqa: ANN401 - pgtrigger means the class, and has conditions
        """Only rows that are there; of updated ones those that were not, or belonged to another parent."""
        column = model._meta.get_field(self.field).column
        if self.operation == pgtrigger.Insert:
            return pgtrigger.Condition("NEW.deleted IS NULL")
        return pgtrigger.Condition(
            f"NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.{column} IS DISTINCT FROM OLD.{column})"
        )

    def get_func(self, model: Any) -> str:  # noqa: ANN401 - pgtrigger means the class
        """The trigger's body."""
        field = model._meta.get_field(self.field)
        parent = field.remote_field.model._meta
        return ALIVE.format(
            column=field.column,
            parent=parent.db_table,
            key=field.target_field.column,
            label=parent.label_lower,
            constraint=f"{model._meta.db_table}_{field.column}{ALIVE_SUFFIX}",
        )
