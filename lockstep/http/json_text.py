"""Parses JSON of remote systems: a value that a strict parser refuses costs no more than that value."""

import json
import reprlib

import orjson

from lockstep.http.errors import MalformedResponse

__all__ = ["excerpt", "integer_of", "is_integer", "is_same", "is_text", "parse"]

# The largest whole number that JavaScript, and with it most readers of JSON, can tell from the next one.
MAX_INTEGER = 2**53 - 1

_EXACT_DIGITS = 18
_EXCERPT = reprlib.Repr()
_EXCERPT.maxlevel, _EXCERPT.maxdict, _EXCERPT.maxlist, _EXCERPT.maxstring = 2, 3, 3, 40


def parse(text: bytes) -> object:
    """The value that a text stands for. Raises MalformedResponse, and nothing else.

    What a strict parser refuses is read leniently, so that one such value does not hide everything around it: a lone
    surrogate or a byte that is not UTF-8 becomes a lone surrogate in the string where it stands, NaN and numbers beyond
    all bounds become floats that are not finite. `is_text` and `is_integer` tell which values can be stored.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass  # perhaps only for such a value
    try:
        return json.loads(text.decode("utf-8", "surrogateescape"), parse_int=_whole_number, strict=False)
    except (ValueError, RecursionError) as error:
        raise MalformedResponse(f"not JSON: {str(error)[:100]}") from None


def is_text(value: object) -> bool:
    """Whether it is a text that PostgreSQL and JSON can store: one without NUL and lone surrogates."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_integer(value: object) -> bool:
    """Whether it is a whole number from 0 that every reader of JSON takes for the same."""
    return type(value) is int and 0 <= value <= MAX_INTEGER


def integer_of(value: object) -> int | None:
    """Such a number, from a number or from its digits; None for anything else, "007" among it."""
    if isinstance(value, str) and len(value) <= _EXACT_DIGITS and value.isascii() and value.isdigit():
        return int(value) if str(int(value)) == value and is_integer(int(value)) else None
    return value if isinstance(value, int) and is_integer(value) else None


def is_same(theirs: object, ours: object) -> bool:
    """Whether a provider's value is this one of ours, as text: some give their numbers as strings."""
    return isinstance(theirs, str | int) and str(theirs) == str(ours)


def excerpt(value: object) -> str:
    """The beginning of a value for a message, however large or deep it is."""
    return _EXCERPT.repr(value)


def _whole_number(digits: str) -> int | float:
    """A long one as a float, as the strict parser has it: to read a million digits takes minutes."""
    return int(digits) if len(digits) <= _EXACT_DIGITS else float(digits)
