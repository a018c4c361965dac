"""The problem types (RFC 9457), each with a stable `type` and with instructions for clients.

`type` is a path on this server, where GET returns the definition. Those below are of every project, which adds
its own, and its own words for these, with `add_problem`.
"""

from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["FORBIDDEN", "add_problem", "problem_of"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem type: `name` is the end of its `type`; `remedy` says what a client should do."""

    name: str
    status: int
    title: str
    remedy: str

    @property
    def type(self) -> str:
        """The `type` member of the response; about:blank for a status without a problem type."""
        return f"/problems/{self.name}" if self.name else "about:blank"


HEADING = """# Problems

Every error is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail`, `errors`. `type` is stable:
programs should depend on it alone. It is a path on the server, where GET returns this definition as JSON. `detail` is
for people. Written by `make schema` from the calls of `add_problem`.
"""
PROBLEMS: dict[str, Problem] = {}


def add_problem(name: str, status: int, title: str, remedy: str) -> Problem:
    """Defines a problem type, in place of an earlier one with this name."""
    PROBLEMS[name] = problem = Problem(name, status, title, remedy)
    return problem


BAD_REQUEST = add_problem(
    "bad-request",
    400,
    "Bad request",
    "Correct what `detail` names. The same request will be refused again.",
)
INVALID = add_problem(
    "invalid",
    400,
    "Invalid values",
    "`errors` has one `{field, detail}` for each invalid value; a field inside a list is named `lines.0.quantity`.",
)
UNAUTHENTICATED = add_problem(
    "unauthenticated",
    401,
    "Authentication required",
    "Send credentials of the kind that `WWW-Authenticate` names. Those that were valid have expired or were revoked.",
)
FORBIDDEN = add_problem(
    "forbidden",
    403,
    "Permission denied",
    "Your account lacks the permission; signing in again does not help.",
)
INSUFFICIENT_SCOPE = add_problem(
    "insufficient-scope",
    403,
    "Insufficient scope",
    "Get a token with the scope that `detail` names: reading needs `read`, everything else `write`.",
)
NOT_FOUND = add_problem(
    "not-found",
    404,
    "Not found",
    "The object does not exist, is deleted, or is not visible to you; the response does not tell which.",
)
METHOD_NOT_ALLOWED = add_problem(
    "method-not-allowed",
    405,
    "Method not allowed",
    "The header `Allow` lists the methods of this path.",
)
NOT_ACCEPTABLE = add_problem(
    "not-acceptable",
    406,
    "Not acceptable",
    "Leave `Accept` out, or ask for application/json.",
)
REQUEST_TIMEOUT = add_problem(
    "request-timeout",
    408,
    "Request timeout",
    "Send it again, with all of its body at once. Nothing was changed.",
)
CONFLICT = add_problem(
    "conflict",
    409,
    "Conflict with the state of the object",
    "Read the object again before you retry.",
)
IN_FLIGHT = add_problem(
    "in-flight",
    409,
    "The same request is in progress",
    "Another request with this Idempotency-Key has not been answered yet. Send it again after `Retry-After` seconds.",
)
GONE = add_problem(
    "gone",
    410,
    "No longer available",
    "`detail` says where to continue.",
)
LENGTH_REQUIRED = add_problem(
    "length-required",
    411,
    "Content-Length required",
    "Send it with a Content-Length, not in chunks.",
)
OUT_OF_DATE = add_problem(
    "out-of-date",
    412,
    "The object has changed",
    "Its ETag is no longer the one in `If-Match`. Read the object again before you retry.",
)
TOO_LARGE = add_problem(
    "too-large",
    413,
    "The body is too large",
    "Send less at once; `detail` has the limit.",
)
UNSUPPORTED_MEDIA_TYPE = add_problem(
    "unsupported-media-type",
    415,
    "Unsupported media type",
    "Send JSON, with `Content-Type: application/json`.",
)
KEY_REUSED = add_problem(
    "key-reused",
    422,
    "This Idempotency-Key was used for another request",
    "A key stands for one request with one body. Make a new key for a new request.",
)
TOO_MANY_REQUESTS = add_problem(
    "too-many-requests",
    429,
    "Too many requests",
    "Wait for `Retry-After` seconds.",
)
INTERNAL_ERROR = add_problem(
    "internal-error",
    500,
    "Internal server error",
    "It is logged under the `X-Request-ID` of the answer. Retrying is safe with an Idempotency-Key.",
)
UNAVAILABLE = add_problem(
    "unavailable",
    503,
    "Temporarily unavailable",
    "Nothing was changed. Try again after `Retry-After` seconds.",
)


def all_problems() -> list[Problem]:
    """The problem types by status: the general one of each first, then the others by their title."""
    return sorted(PROBLEMS.values(), key=lambda one: (one.status, one is not problem_of(one.status), one.title))


def as_markdown() -> str:
    """The content of docs/problems.md."""
    sections = [f"## {one.type}\n\n{one.status}. {one.title}.\n\n{one.remedy}\n" for one in all_problems()]
    return "\n".join([HEADING, *sections])


def problem_of(status: int) -> Problem:
    """The problem type for a status: the first with that status, or about:blank."""
    found = next((problem for problem in PROBLEMS.values() if problem.status == status), None)
    return found or Problem("", status, HTTPStatus(status).phrase, "")
