"""JSON in and out: fast, and strict about what a stranger may send."""

from collections.abc import Iterable, Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from rest_framework.exceptions import APIException, ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class BodyTooLarge(APIException):
    """The body is larger than this server accepts."""

    status_code = 413
    default_detail = f"The body is larger than {settings.MAX_BODY_BYTES:,} bytes."
    default_code = "body_too_large"


class JSONParser(BaseParser):
    """Parses at most MAX_BODY_BYTES of JSON, at most MAX_JSON_DEPTH lists and objects deep.

    Raises `BodyTooLarge` (413) and `ParseError` (400), which names the place of the mistake.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever JSON holds; serializers check it
        body = stream.read(settings.MAX_BODY_BYTES + 1)
        if len(body) > settings.MAX_BODY_BYTES:
            raise BodyTooLarge
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not valid JSON: {error}.") from error
        if body.count(b"[") + body.count(b"{") > settings.MAX_JSON_DEPTH and _is_deep(
            document, settings.MAX_JSON_DEPTH
        ):
            raise ParseError(f"The body is more than {settings.MAX_JSON_DEPTH} lists and objects deep.")
        return document


class Negotiation(DefaultContentNegotiation):
    """REST framework's; what everybody sends is recognised at once."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        first = next(iter(parsers), None)
        if first and request.content_type == first.media_type:
            return first
        return super().select_parser(request, parsers)


def _is_deep(document: object, levels: int) -> bool:
    """Whether something lies deeper than so many levels; level by level, so that depth costs no stack."""
    level = [document]
    for _ in range(levels + 1):
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        level = [part for one in inner for part in one]
    return bool(level)


class JSONRenderer(BaseRenderer):
    """The same JSON where REST framework chooses how to write it."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,  # noqa: ANN401 - whatever a view answers
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return written(data)


def written(data: Any) -> bytes:  # noqa: ANN401 - whatever a view answers
    """Data as JSON, with ISO 8601 times in UTC; nothing for None."""
    return b"" if data is None else orjson.dumps(data, default=str, option=orjson.OPT_UTC_Z)
