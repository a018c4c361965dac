"""JSON parser and renderer of REST framework: fast, and strict about untrusted input."""

import json as stdlib
import re
from collections.abc import Mapping
from typing import IO, Any

import orjson
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from lockstep.conf import lockstep_settings
from lockstep.rest.errors import MAX_QUOTED
from lockstep.rest.responses import dumps

TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)  # of JSON; linear, because nothing is given back


class BodyTooLarge(APIException):
    """The body is larger than this server accepts."""

    status_code = 413
    default_code = "body_too_large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body is larger than {max_bytes:,} bytes.")


class JSONParser(BaseParser):
    """Parses JSON within the limits of REST_MAX_BODY_BYTES, REST_MAX_JSON_DEPTH and REST_MAX_JSON_VALUES.

    Raises `BodyTooLarge` (413) and `ParseError` (400), which names the position of the error. Objects with duplicate
    names are refused, because implementations disagree on which member counts (RFC 8259, section 4).
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, object] | None = None,
    ) -> Any:  # noqa: ANN401 - any JSON; serializers check it
        max_bytes, max_values = lockstep_settings.REST_MAX_BODY_BYTES, lockstep_settings.REST_MAX_JSON_VALUES
        body = stream.read(max_bytes + 1)
        if len(body) > max_bytes:
            raise BodyTooLarge(max_bytes)
        if body.count(b"[") + body.count(b"{") > max_values:  # parsing so many takes a tenth of a second
            outside_texts = TEXTS.sub(b"", body)
            if outside_texts.count(b"[") + outside_texts.count(b"{") > max_values:
                raise _too_many(max_values)
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not valid JSON: {error}.") from error
        names = _count_names(document, max_values, lockstep_settings.REST_MAX_JSON_DEPTH)
        if body.count(b":") != names and (twice := _name_of_two_members(body)) is not None:
            raise ParseError(f"The body has two members {twice[:MAX_QUOTED]!r} in one object.")
        return document


def _too_many(max_values: int) -> ParseError:
    return ParseError(f"The body has more than {max_values:,} values.")


def _count_names(document: object, max_values: int, max_depth: int) -> int:
    """The number of members of all objects together. Raises ParseError for too many values or too much depth.

    Goes level by level: depth costs no stack, and a level with too many values is not traversed.
    """
    level, values, names = [document], 0, 0
    for _ in range(max_depth + 1):
        inner: list[object] = []
        for one in level:
            if type(one) is dict:
                names += len(one)
                inner.extend(one.values())
            elif type(one) is list:
                inner.extend(one)
        values += len(inner)
        if values > max_values:
            raise _too_many(max_values)
        if not inner:
            return names
        level = inner
    raise ParseError(f"The body is more than {max_depth} lists and objects deep.")


def _name_of_two_members(body: bytes) -> str | None:
    """A name that occurs twice in one object, or None. orjson would silently take the last of them."""
    found: list[str] = []

    def check(members: list[tuple[str, object]]) -> None:
        seen = set[str]()
        for name, _ in members:
            if name in seen:
                found.append(name)
            seen.add(name)

    stdlib.loads(body, object_pairs_hook=check, parse_int=len, parse_float=len)
    return found[0] if found else None


class JSONRenderer(BaseRenderer):
    """The JSON of an ApiResponse, for views that respond with REST framework's Response."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: object,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, object] | None = None,
    ) -> bytes:
        return dumps(data)
