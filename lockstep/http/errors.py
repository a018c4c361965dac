"""Errors of providers.

    ProviderError
    ├── Unreachable          no response: no connection, an aborted one, or the deadline passed
    ├── Throttled            408, 425, 429, 503: retry later, after Retry-After if there is one
    ├── ServerError          any other 5xx
    ├── Conflict             409
    ├── MalformedResponse    a response that cannot be parsed
    └── Refused              any other unsuccessful response; a retry cannot help
        └── NotFound         404, or a provider's equivalent

`retryable` is whether a retry can help, `retry_after` the seconds to wait, and `outcome_unknown` whether a write may
have been applied without a successful response: look it up before sending it again.
"""

from lockstep.http.retry_after import retry_after_seconds

__all__ = ["MalformedResponse", "NotFound", "ProviderError", "Refused", "ServerError", "Unreachable", "refusal"]


class ProviderError(Exception):
    """The request to the remote system failed."""

    retryable: bool = True
    retry_after: float | None
    outcome_unknown: bool

    def __init__(self, detail: str = "", *, retry_after: float | None = None, outcome_unknown: bool = False) -> None:
        summary = (type(self).__doc__ or "").strip()
        # A remote system's text for logs and storage: truncated, with question marks for unprintable characters.
        plain = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in detail[:1_000])
        super().__init__(f"{summary} ({plain})" if plain else summary)
        self.retry_after = retry_after
        self.outcome_unknown = outcome_unknown


class Unreachable(ProviderError):
    """The remote system could not be reached, or did not respond in time."""


class Throttled(ProviderError):
    """The remote system is throttling requests."""


class ServerError(ProviderError):
    """The remote system failed."""


class Conflict(ProviderError):
    """The remote system reports a conflict."""


class MalformedResponse(ProviderError):
    """The remote system's response cannot be parsed."""


class Refused(ProviderError):
    """The remote system refused the request."""

    retryable = False


class NotFound(Refused):
    """The remote system has no such object."""


def refusal(
    status: int, detail: str = "", *, retry_after: str | None = None, date: str | None = None, write: bool = False
) -> ProviderError:
    """The error for a response with this status, any but 2xx.

    `retry_after` and `date` are its headers; `write` is whether the request was a write.
    """
    return _kind(status)(
        f"{status} {detail}".strip(),
        retry_after=retry_after_seconds(retry_after, date),
        outcome_unknown=write and status >= 500,
    )


def _kind(status: int) -> type[ProviderError]:
    if status in (408, 425, 429, 503):
        return Throttled
    if status >= 500:
        return ServerError
    return {404: NotFound, 409: Conflict}.get(status, Refused)
