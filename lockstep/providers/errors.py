"""What can go wrong between us and a provider.

    ProviderError
    ├── Unreachable    no answer: no connection, a cut one, or the deadline passed
    ├── Overloaded     408, 425, 429, 503: later, perhaps at a time that it names
    ├── Failing        any other 5xx
    ├── Contested      409
    ├── Garbled        an answer that cannot be read
    └── Refused        any other answer that is no success; asking again cannot help
        └── NotFound   404, or what a provider answers in its place

Every one says whether trying again can help (`retryable`), when (`retry_after`, seconds), and whether
a write may have reached the provider although we saw no good answer (`maybe_applied`): then look before
sending it again.
"""

from lockstep.retry_after import retry_after_seconds


class ProviderError(Exception):
    """The remote system did not do what we asked."""

    retryable: bool = True
    retry_after: float | None
    maybe_applied: bool

    def __init__(self, detail: str = "", *, retry_after: float | None = None, maybe_applied: bool = False) -> None:
        idea = (type(self).__doc__ or "").strip()
        detail = _plain(detail)
        super().__init__(f"{idea} ({detail})" if detail else idea)
        self.retry_after = retry_after
        self.maybe_applied = maybe_applied


def _plain(detail: str) -> str:
    """A remote system's words as they can be logged and kept: cut, and each odd character as a question mark."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in detail[:1_000])


class Unreachable(ProviderError):
    """The remote system could not be reached, or did not answer in time."""


class Overloaded(ProviderError):
    """The remote system asks us to come back later."""


class Failing(ProviderError):
    """The remote system failed at it."""


class Contested(ProviderError):
    """The remote system says that something else is in the way right now."""


class Garbled(ProviderError):
    """The remote system's answer cannot be read."""


class Refused(ProviderError):
    """The remote system refuses, and will refuse again."""

    retryable = False


class NotFound(Refused):
    """The remote system has no such object."""


def refusal(
    status: int, detail: str = "", *, retry_after: str | None = None, date: str | None = None, write: bool = False
) -> ProviderError:
    """The error that stands for an answer with this status, any but 2xx.

    `retry_after` and `date` are the headers as they came; `write` says that the request was one.
    """
    return _kind(status)(
        f"{status} {detail}".strip(),
        retry_after=retry_after_seconds(retry_after, date),
        maybe_applied=write and status >= 500,
    )


def _kind(status: int) -> type[ProviderError]:
    if status in (408, 425, 429, 503):
        return Overloaded
    if status >= 500:
        return Failing
    return {404: NotFound, 409: Contested}.get(status, Refused)
