"""The control routes of a stand-in for a remote system (devstack/sandbox/README.md): its faults and its data."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx

from lockstep.http.client import trusted

DEFAULT_TIMEOUT = 1.0  # seconds: it runs on the same machine


class NoStandIn(Exception):
    """There is no stand-in at this address, or it does not answer."""


class BadFault(ValueError):
    """The stand-in refuses the fault; the message says what is wrong."""


class StandIn:
    """A client of one stand-in, for `with`. Its methods raise NoStandIn."""

    def __init__(self, url: str, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout, trust_env=False, verify=trusted())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def faults(self) -> list[dict[str, object]]:
        """The active faults, the first one first; each with all its fields."""
        return self._list("GET")

    def set_faults(self, faults: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
        """Replaces all faults; an empty list ends them. Returns the active ones. Raises BadFault."""
        return self._list("PUT", faults)

    def data(self, path: str) -> object:
        """The response to a GET of this path, without faults and uncounted; None if there is nothing."""
        answer = self._answer("GET", f"/_data{path}")
        return None if answer.status_code == 404 else _document(answer)

    def _list(self, method: str, faults: Sequence[Mapping[str, object]] | None = None) -> list[dict[str, object]]:
        document = _document(self._answer(method, "/_faults", faults))
        if not isinstance(document, list):
            raise NoStandIn(f"{self._http.base_url} is no stand-in: its faults are no list.")
        return document

    def _answer(self, method: str, path: str, body: object = None) -> httpx.Response:
        try:
            return self._http.request(method, path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoStandIn(f"{self._http.base_url} does not answer: {error}") from error


def _document(answer: httpx.Response) -> object:
    """The JSON of a response. Raises BadFault for a 400, and NoStandIn for what no stand-in responds."""
    try:
        document: object = answer.json()
    except ValueError as error:
        raise NoStandIn(f"{answer.url} is no stand-in: it responds {answer.status_code} without JSON.") from error
    if answer.status_code == 400 and isinstance(document, dict):
        raise BadFault(str(document.get("error")))
    if answer.status_code != 200:
        raise NoStandIn(f"{answer.url} is no stand-in: it responds {answer.status_code}.")
    return document
