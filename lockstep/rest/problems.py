"""The problem types (RFC 9457), each with a stable `type` and with instructions for clients.

`type` is a path on this server, where GET returns the definition below; docs/problems.md is generated from it.
"""

from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["FORBIDDEN", "INSUFFICIENT_STOCK", "OAUTH_REFUSED", "UNAUTHENTICATED", "problem_of"]


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
for people. Written by `make schema` from `lockstep/rest/problems.py`.
"""
PROBLEMS: dict[str, Problem] = {}


def _problem(name: str, status: int, title: str, remedy: str) -> Problem:
    PROBLEMS[name] = problem = Problem(name, status, title, remedy)
    return problem


BAD_REQUEST = _problem(
    "bad-request",
    400,
    "Bad request",
    "Correct what `detail` names. The same request will be refused again.",
)
INVALID = _problem(
    "invalid",
    400,
    "Invalid values",
    "`errors` has one `{field, detail}` for each invalid value; a field inside a list is named `lines.0.quantity`.",
)
OAUTH_REFUSED = _problem(
    "oauth-refused",
    400,
    "OAuth 2 refused the request",
    "`error` has its code (RFC 6749): `invalid_grant` is a wrong name or password, or a token that is used or expired.",
)
UNAUTHENTICATED = _problem(
    "unauthenticated",
    401,
    "Authentication required",
    "Send `Authorization: Bearer <token>`. A token that was valid has expired or was revoked: refresh it, or sign in.",
)
FORBIDDEN = _problem(
    "forbidden",
    403,
    "Permission denied",
    "Your account lacks the permission; signing in again does not help.",
)
INSUFFICIENT_SCOPE = _problem(
    "insufficient-scope",
    403,
    "Insufficient scope",
    "Get a token with the scope that `detail` names: reading needs `read`, everything else `write`.",
)
NOT_FOUND = _problem(
    "not-found",
    404,
    "Not found",
    "The object does not exist, is deleted, or is not visible to you; the response does not tell which.",
)
METHOD_NOT_ALLOWED = _problem(
    "method-not-allowed",
    405,
    "Method not allowed",
    "The header `Allow` lists the methods of this path.",
)
NOT_ACCEPTABLE = _problem(
    "not-acceptable",
    406,
    "Not acceptable",
    "Leave `Accept` out, or ask for application/json.",
)
REQUEST_TIMEOUT = _problem(
    "request-timeout",
    408,
    "Request timeout",
    "Send it again, with all of its body at once. Nothing was changed.",
)
CONFLICT = _problem(
    "conflict",
    409,
    "Conflict with the state of the object",
    "Read the object again before you retry.",
)
INSUFFICIENT_STOCK = _problem(
    "insufficient-stock",
    409,
    "Insufficient stock",
    "Nothing was ordered. `lines` has `{product, asked, available}` for each product: order less.",
)
IN_FLIGHT = _problem(
    "in-flight",
    409,
    "The same request is in progress",
    "Another request with this Idempotency-Key has not been answered yet. Send it again after `Retry-After` seconds.",
)
GONE = _problem(
    "gone",
    410,
    "No longer available",
    "`detail` says where to continue.",
)
LENGTH_REQUIRED = _problem(
    "length-required",
    411,
    "Content-Length required",
    "Send it with a Content-Length, not in chunks.",
)
OUT_OF_DATE = _problem(
    "out-of-date",
    412,
    "The object has changed",
    "Its ETag is no longer the one in `If-Match`. Read the object again before you retry.",
)
TOO_LARGE = _problem(
    "too-large",
    413,
    "The body is too large",
    "Send less at once; `detail` has the limit.",
)
UNSUPPORTED_MEDIA_TYPE = _problem(
    "unsupported-media-type",
    415,
    "Unsupported media type",
    "Send JSON, with `Content-Type: application/json`; the OAuth 2 routes take a form.",
)
KEY_REUSED = _problem(
    "key-reused",
    422,
    "This Idempotency-Key was used for another request",
    "A key stands for one request with one body. Make a new key for a new request.",
)
TOO_MANY_REQUESTS = _problem(
    "too-many-requests",
    429,
    "Too many requests",
    "Wait for `Retry-After` seconds.",
)
INTERNAL_ERROR = _problem(
    "internal-error",
    500,
    "Internal server error",
    "It is logged under the `X-Request-ID` of the answer. Retrying is safe with an Idempotency-Key.",
)
UNAVAILABLE = _problem(
    "unavailable",
    503,
    "Temporarily unavailable",
    "Nothing was changed. Try again after `Retry-After` seconds.",
)


def as_markdown() -> str:
    """The content of docs/problems.md."""
    sections = [f"## {one.type}\n\n{one.status}. {one.title}.\n\n{one.remedy}\n" for one in PROBLEMS.values()]
    return "\n".join([HEADING, *sections])


_BY_STATUS = {problem.status: problem for problem in reversed(PROBLEMS.values())}


def problem_of(status: int) -> Problem:
    """The problem type for a status: the first with that status, or about:blank."""
    return _BY_STATUS.get(status) or Problem("", status, HTTPStatus(status).phrase, "")
