"""Responses: JSON, rendered at once."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.http.response import ResponseHeaders

from lockstep.rest.json import dumps

JSON = "application/json"


class Headers(ResponseHeaders):
    """Django's headers without its encoding and decoding of each name and value that is plain ASCII."""

    _store: dict[str, tuple[str, str]]

    def __setitem__(self, name: Any, value: Any) -> None:  # noqa: ANN401 - whatever Django takes
        if type(value) is str and (text := name + value).isascii() and text.isprintable():
            self._store[name.lower()] = (name, value)
        else:
            super().__setitem__(name, value)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._store

    def items(self) -> Any:  # noqa: ANN401 - pairs of name and value
        return self._store.values()

    def setdefault(self, name: Any, value: Any) -> None:  # noqa: ANN401 - whatever Django takes
        """Sets a header that is not set yet."""
        if name.lower() not in self._store:
            self[name] = value


class ApiResponse(HttpResponse):
    """Data as JSON; None has no body and no Content-Type.

    REST framework renders its Response after the view, with the negotiated renderer. Here the renderer is always JSON.
    """

    def __init__(
        self,
        data: Any = None,  # noqa: ANN401 - whatever JSON holds
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> None:
        super().__init__(dumps(data), status=status, content_type=content_type)
        self.headers = Headers(headers or {})
        if data is not None:
            self.headers["Content-Type"] = content_type
