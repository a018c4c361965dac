"""Serializer fields that accept exactly what the OpenAPI document says, and do not change values silently.

Those of REST framework trim texts, convert numbers to texts, and accept all of Python's numbers (numbers.py).
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

from rest_framework import serializers

from lockstep.rest import text
from lockstep.rest.numbers import DECIMAL, WHOLE
from lockstep.rest.parameters import DATE_TIME, read_uuid

__all__ = ["Boolean", "DecimalNumber", "Email", "Integer", "Text", "Uuid"]


class Text(serializers.CharField):
    """A text without trimming, in NFC as it is stored, so that its length is the stored one.

    Whitespace alone is blank.
    """

    composes = True
    default_error_messages = {"invalid": "Must be a string."}

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(**{"trim_whitespace": False, **options})

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if not self.allow_blank and not data.strip():
            self.fail("blank")
        value = super().to_internal_value(data)
        return text.nfc(value) if self.composes and not value.isascii() else value


class Email(serializers.EmailField, Text):
    """An e-mail address without trimming."""


class Integer(serializers.IntegerField):
    """An integer: a JSON number, or a string of ASCII digits as in the predecessors' APIs."""

    def to_internal_value(self, data: object) -> int:
        if type(data) is not int and not (isinstance(data, str) and WHOLE.fullmatch(data)):
            self.fail("invalid")
        return int(data)


class DecimalNumber(serializers.DecimalField):
    """A decimal number: a JSON number, or a string of ASCII digits with a point."""

    def to_internal_value(self, data: Any) -> Decimal:  # noqa: ANN401 - REST framework's signature
        if type(data) not in (int, float) and not (isinstance(data, str) and DECIMAL.fullmatch(data)):
            self.fail("invalid")
        number = super().to_internal_value(data)
        if number.is_zero() and number.is_signed():
            self.fail("invalid")
        return number


class Uuid(serializers.UUIDField):
    """A UUID in its canonical form: no integer, no braces."""

    def to_internal_value(self, data: Any) -> UUID:  # noqa: ANN401 - REST framework's signature
        try:
            return read_uuid(data if isinstance(data, str) else "")
        except ValueError:
            self.fail("invalid", value=data)


class Moment(serializers.DateTimeField):
    """A date and time (RFC 3339), in UTC if it has no offset."""

    def to_internal_value(self, value: Any) -> Any:  # noqa: ANN401 - REST framework's signature
        if not isinstance(value, str) or not DATE_TIME.fullmatch(value):
            self.fail("invalid", format="2026-01-31T12:00:00Z")
        return super().to_internal_value(value)


class Boolean(serializers.BooleanField):
    """`true` or `false`, and none of the strings that REST framework accepts as well."""

    def to_internal_value(self, data: object) -> bool:
        if data is not True and data is not False:
            self.fail("invalid", input=data)
        return bool(data)
