"""Responses: JSON, rendered at once."""

from collections.abc import Mapping

import orjson
from django.http import HttpResponse
from django.http.response import ResponseHeaders

from lockstep.rest import fastpath

__all__ = ["ApiResponse", "etag"]

JSON = "application/json"


class ApiResponse(HttpResponse):
    """Data as JSON; None has no body and no Content-Type.

    REST framework renders its Response after the view, with the negotiated renderer. Here the renderer is always JSON.
    """

    def __init__(
        self,
        data: object = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> None:
        super().__init__(dumps(data), status=status, content_type=content_type)
        self.headers = (fastpath.Headers if fastpath.is_on() else ResponseHeaders)(headers or {})
        if data is not None:
            self.headers["Content-Type"] = content_type


def etag(*versions: object) -> str:
    """The entity tag of an object with these versions (concurrency.py)."""
    return '"' + ".".join(str(version) for version in versions) + '"'


def dumps(data: object) -> bytes:
    """Data as JSON, with ISO 8601 times in UTC; b"" for None."""
    return b"" if data is None else orjson.dumps(data, default=str, option=orjson.OPT_UTC_Z)
