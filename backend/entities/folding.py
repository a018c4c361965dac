"""Case-insensitive comparison of texts by one function of the database, lockstep_fold (sql/folding.sql).

Django's lookups `iexact`, `icontains`, `istartswith` and `iendswith` of every text column use it. For searches in many
rows the folded text is stored: a `FoldedField`, which a trigger writes.
"""

from typing import Any

import pgtrigger
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import lookups
from django.db.models.sql.compiler import SQLCompiler

from backend.entities.addresses import stored_address
from lockstep.rest import text
from lockstep.sql import Statement, identifier, joined, statements

TRIGGERS = statements(__file__, "triggers")


class Fold(models.Func):
    """The folded form of a text, for comparisons."""

    function = "lockstep_fold"
    arity = 1
    output_field = models.TextField()


class SortKey(models.Func):
    """The sort key of a name or title, independent of the database's collation."""

    template = 'lockstep_sort_key(%(expressions)s) COLLATE "C"'
    arity = 1
    output_field = models.TextField()


class FoldedLookup(lookups.Lookup):
    """Compares the folded column with the folded value."""

    template = ""
    prepare_rhs = True

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:  # noqa: ANN401 - Django's
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return self.template % (self.left(left), f"lockstep_fold({right})"), [*left_params, *right_params]

    def left(self, column: str) -> str:
        """The folded column; a FoldedField is used as it is."""
        stored = isinstance(getattr(self.lhs, "target", None), FoldedField)
        return column if stored else f"lockstep_fold({column})"


ESCAPED = r"replace(replace(replace(%s, E'\\', E'\\\\'), '%%%%', E'\\%%%%'), '_', E'\\_')"


class FoldedExact(FoldedLookup):
    """The column is equal to the value."""

    lookup_name = "iexact"
    template = "%s = %s"


class FoldedContains(FoldedLookup):
    """The column contains the value."""

    lookup_name = "icontains"
    template = f"%s LIKE '%%%%' || {ESCAPED} || '%%%%'"


class FoldedStartsWith(FoldedLookup):
    """The column starts with the value."""

    lookup_name = "istartswith"
    template = f"%s LIKE {ESCAPED} || '%%%%'"


class FoldedEndsWith(FoldedLookup):
    """The column ends with the value."""

    lookup_name = "iendswith"
    template = f"%s LIKE '%%%%' || {ESCAPED}"


def register_lookups() -> None:
    """Replaces Django's case-insensitive lookups."""
    for lookup in (FoldedExact, FoldedContains, FoldedStartsWith, FoldedEndsWith):
        for field in (models.CharField, models.TextField):
            field.register_lookup(lookup)


def fold(value: str) -> str:
    """The folded form of a text, from the database; for keys in Python."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT lockstep_fold(%s)", [value])
        [folded] = cursor.fetchone() or [""]
    return str(folded)


class FoldedField(models.TextField):  # type: ignore[type-arg]  # it takes none at run time
    """A folded copy of other columns; `fold_trigger` writes it."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(**{"editable": False, "db_default": "", **options})


def fold_trigger(target: str, *sources: str) -> pgtrigger.Trigger:
    """The trigger that writes the folded columns into the target, also after an update of the target alone."""
    folded = Statement("coalesce(NEW.{source}, '')")
    texts = joined((folded.with_parts(source=identifier(source)) for source in sources), " || ' ' || ")
    update = pgtrigger.UpdateOf(*sources, target)  # type: ignore[no-untyped-call]
    return pgtrigger.Trigger(
        name=f"write_{target}",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | update,
        func=TRIGGERS["fold"].with_parts(target=identifier(target), sources=texts),
    )


class NormalisedField(models.Field):  # type: ignore[type-arg]  # it takes none at run time
    """A text column that the ORM normalises in writes and lookups."""

    def deconstruct(self) -> Any:  # noqa: ANN401 - Django's
        """The deconstruction of Django's own field: the column is the same."""
        name, _, args, options = super().deconstruct()
        base = next(cls for cls in type(self).__mro__ if cls.__module__.startswith("django.db.models.fields"))
        return name, f"django.db.models.{base.__name__}", args, options


class NFCField(NormalisedField):
    """A text column in NFC."""

    def to_python(self, value: object) -> object:
        """The normalised value; Django's fields write what this returns. ASCII is in NFC."""
        converted = super().to_python(value)
        return text.nfc(converted) if isinstance(converted, str) and not converted.isascii() else converted


class CheckedField(NormalisedField):
    """A text column with a normal form of its own, which some values do not have."""

    def normalised(self, value: str) -> str:
        """The value in its normal form. Raises ValueError for an invalid one."""
        raise NotImplementedError

    def to_python(self, value: object) -> object:
        """The normalised value, for forms and `full_clean`. Raises ValidationError."""
        converted = super().to_python(value)
        try:
            return self.normalised(converted) if isinstance(converted, str) else converted
        except ValueError as error:
            raise ValidationError(str(error), code="invalid") from error

    def get_prep_value(self, value: object) -> object:
        """The normalised value; an invalid one is left to the database's constraints."""
        try:
            return super().get_prep_value(value)  # by way of `to_python`
        except ValidationError:
            return models.Field.get_prep_value(self, value)


class NormalTextField(NFCField, models.TextField):  # type: ignore[type-arg]
    """A text in NFC."""


class NormalCharField(NFCField, models.CharField):  # type: ignore[type-arg]
    """A text of limited length, in NFC."""


class LabelField(CheckedField, models.TextField):  # type: ignore[type-arg]
    """A name in NFC without invisible characters."""

    def normalised(self, value: str) -> str:
        text.check_visible(value)
        return text.nfc(value)


class UsernameField(CheckedField, models.CharField):  # type: ignore[type-arg]
    """A username in NFKC without invisible characters."""

    def normalised(self, value: str) -> str:
        text.check_visible(value)
        return text.nfkc(value)


class AddressField(CheckedField, models.EmailField):  # type: ignore[type-arg]
    """An e-mail address in NFKC, with an ASCII domain."""

    def normalised(self, value: str) -> str:
        return stored_address(value)
