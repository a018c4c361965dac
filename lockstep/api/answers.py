"""Answers: JSON, written at once."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.http.response import ResponseHeaders

from lockstep.api.json import written

JSON = "application/json"


class Headers(ResponseHeaders):
    """Django's, which take plain ASCII as it is. Django encodes and decodes every name and value of some fifteen."""

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
        """Sets what is not there yet."""
        if name.lower() not in self._store:
            self[name] = value


class Answer(HttpResponse):
    """Data as JSON, without a body and its type where there is none.

    REST framework's Response is written when all views and middleware are through with it, by what was negotiated;
    nobody changes ours, and nothing but JSON is spoken.
    """

    def __init__(
        self,
        data: Any = None,  # noqa: ANN401 - whatever JSON holds
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> None:
        super().__init__(written(data), status=status, content_type=content_type)
        self.headers = Headers(headers or {})
        if data is not None:
            self.headers["Content-Type"] = content_type
