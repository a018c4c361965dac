"""Forms of the admin: they write changed fields only, and detect concurrent changes (decision 37).

A page with a form has a signed digest of each displayed value. When the form is submitted, its row is locked, and each
field is in one of these states:

    sent = displayed                        not changed here: neither validated nor written
    sent ≠ displayed, current = displayed   changed here: written
    sent ≠ displayed, current = sent        changed to the same value elsewhere: nothing to do
    all three differ                        a conflict: refused, with both values
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget
from django.core import signing
from django.core.exceptions import ValidationError
from django.utils.html import format_html

from lockstep.rest.numbers import DECIMAL, WHOLE

SHOWN = "_shown"  # the name of the field with the digests
STALE = (
    "This object was changed after you opened this page. Nothing has been saved. Each marked field shows the current "
    "value and yours. Edit yours if necessary, and save again: it then replaces the current value."
)
UNKNOWN_ORIGIN = (
    "This page does not say which values it showed. Nothing has been saved. Check the marked fields, and save again."
)
MAX_QUOTED = 2_000  # characters of a value in an error message


class PlainTextarea(AdminTextareaWidget):
    """A textarea that turns the CRLF of browsers into LF, as in the database."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:  # noqa: ANN401 - the base's signature
        return _lines(value) if isinstance(value := super().value_from_datadict(data, files, name), str) else value


class PlainNumber(forms.Field):
    """Refuses numbers that the API would not accept. Surrounding whitespace is ignored, as in any form."""

    number: re.Pattern[str]

    def to_python(self, value: Any) -> Any:  # noqa: ANN401 - a text; a number, or None
        if isinstance(value, str) and value.strip() and not self.number.fullmatch(value.strip()):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


class PlainInteger(PlainNumber, forms.IntegerField):
    """An integer."""

    number = WHOLE


class PlainDecimal(PlainNumber, forms.DecimalField):
    """A decimal number."""

    number = DECIMAL


class EntityForm(forms.ModelForm):  # type: ignore[type-arg]  # it takes none at run time
    """A form that leaves unchanged fields as they are in the database.

    The form of a new object is Django's own with `refusals`: the errors of the database in a first attempt to save it.
    """

    refusals: Mapping[str | None, str] = {}
    _errors: Any  # of the base, missing in the stubs
    data: Any  # a QueryDict, once the form was sent

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - the base's arguments
        super().__init__(*args, **options)
        self._is_new = self.instance._state.adding  # saving changes it

    @property
    def shown(self) -> str:
        """The signed digests of the displayed values, for the page."""
        return str(self.data.get(self.add_prefix(SHOWN), "")) if self.is_bound else self._sign(self._digests_now)

    @property
    def changed_data(self) -> list[str]:
        """The names of the fields that differ from the displayed values."""
        return list(super().changed_data) if self._is_new else [*self._changed]

    @cached_property
    def moved(self) -> list[str]:
        """The names of the fields that were changed elsewhere since the page was opened."""
        if self._is_new:
            return []
        return [name for name, now in self._digests_now.items() if self._digests_shown.get(name, now) != now]

    def clean(self) -> dict[str, Any] | None:
        """Adds the errors of the database in the first attempt."""
        for field, sentence in self.refusals.items():
            self.add_error(field if field in self.fields else None, sentence)
        return super().clean()

    def _clean_fields(self) -> None:
        super()._clean_fields()  # type: ignore[misc]  # the stubs do not know it
        if self._is_new:
            return
        for name in set(self.fields) - set(self._changed):
            self.cleaned_data.pop(name, None)
            self._errors.pop(name, None)
        if self._conflicts:
            self._refuse_stale()

    def _get_validation_exclusions(self) -> set[str]:
        """Excludes unchanged fields: a value that is older than its rule must not block changes of other fields."""
        excluded = super()._get_validation_exclusions()  # type: ignore[misc]  # the stubs do not know it
        return set(excluded) if self._is_new else {*excluded, *self.fields} - {*self._changed}

    @cached_property
    def _digests_now(self) -> dict[str, str]:
        shown = {name: field for name, field in self.fields.items() if not field.disabled}
        return {
            name: _digest(field, field.prepare_value(self.get_initial_for_field(field, name)))
            for name, field in shown.items()
        }

    @cached_property
    def _digests_sent(self) -> dict[str, str]:
        return {name: _digest(self.fields[name], self._sent(name)) for name in self._digests_now}

    @cached_property
    def _digests_shown(self) -> dict[str, str]:
        """Empty for a page without digests, and for one of another object."""
        try:
            return dict(signing.loads(self.data.get(self.add_prefix(SHOWN), ""), salt=self._salt))
        except signing.BadSignature:
            return {}

    @cached_property
    def _changed(self) -> list[str]:
        sent, now = self._digests_sent, self._digests_now
        return [name for name in now if sent[name] not in (self._digests_shown.get(name), now[name])]

    @cached_property
    def _conflicts(self) -> list[str]:
        return [name for name in self._changed if self._digests_shown.get(name) != self._digests_now[name]]

    def _refuse_stale(self) -> None:
        """Marks the conflicts. The new page displays the current values, and has their digests."""
        self.add_error(None, STALE if self._digests_shown else UNKNOWN_ORIGIN)
        for name in self._conflicts:
            self.add_error(name, ValidationError(self._both_values(name), code="stale"))
        self.data = self.data.copy()
        for name in set(self.moved) - set(self._changed):
            self._show_now(name)
        self.data[self.add_prefix(SHOWN)] = self._sign(self._digests_now)

    def _both_values(self, name: str) -> str:
        field = self.fields[name]
        now = field.prepare_value(self.get_initial_for_field(field, name))
        return format_html(
            '<span class="both-values"><span>Current: <q>{}</q></span><span>Yours: <q>{}</q></span></span>',
            _readable(field, now),
            _readable(field, self._sent(name)),
        )

    def _show_now(self, name: str) -> None:
        """Puts the current value in the place of the sent one."""
        field = self.fields[name]
        value = field.prepare_value(self.get_initial_for_field(field, name))
        values = value if isinstance(value, (list, tuple)) else [] if value in (None, False) else [value]
        self.data.setlist(self.add_prefix(name), ["on" if one is True else str(one) for one in values])

    def _sent(self, name: str) -> object:
        return self.fields[name].widget.value_from_datadict(self.data, self.files, self.add_prefix(name))

    def _sign(self, digests: Mapping[str, str]) -> str:
        return signing.dumps(dict(digests), salt=self._salt, compress=True)

    @property
    def _salt(self) -> str:
        return f"lockstep.admin {self.instance._meta.label} {self.instance.pk}"


def _digest(field: forms.Field, value: object) -> str:
    """The digest of a value, equal for the value that a browser sends back unedited.

    Browsers send line breaks as CRLF, and drop the first one of a textarea and all in an input of one line.
    """
    if isinstance(value, (list, tuple)):
        text = "\0".join(sorted(str(one) for one in value))
    else:
        text = "" if value is None else _lines(str(value)).removeprefix("\n")
    if isinstance(field.widget, forms.widgets.Input):
        text = text.replace("\n", "")
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _readable(field: forms.Field, value: object) -> str:
    """A value for an error message: the labels of choices, and the beginning of a long text."""
    choices: Any = getattr(field, "choices", ())
    if isinstance(field, forms.ModelMultipleChoiceField):
        chosen = {str(one) for one in (value if isinstance(value, (list, tuple)) else ())}
        text = ", ".join(str(label) for key, label in choices if str(key) in chosen)
    elif isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField):
        text = str(dict(choices).get(value, value))
    else:
        text = {True: "yes", False: "no", None: ""}.get(value, str(value))  # type: ignore[call-overload]
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]} …"
