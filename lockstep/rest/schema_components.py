"""The components of the OpenAPI document: what operations refer to by name (schema.py)."""

from typing import Any

from lockstep.rest.errors import CONTENT_TYPE, document
from lockstep.rest.problems import Problem, all_problems, problem_of

Tree = dict[str, Any]


def add_shared(result: Tree, **_: object) -> Tree:
    """Adds the components that operations refer to."""
    components = result["components"]
    components["schemas"]["Problem"] = PROBLEM
    components["schemas"] = dict(sorted(components["schemas"].items()))
    components["headers"] = HEADERS
    components["parameters"] = PARAMETERS
    components["responses"] = {component_name(problem_of(status)): _response(status) for status in _statuses()}
    components["securitySchemes"] = {"bearer": BEARER, "client": CLIENT}
    return result


BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": (
        "An access token of any kind, as `Authorization: Bearer <token>`. GET and HEAD need the scope `read`, all "
        "other methods `write`; the response to a write shows what was written. Tokens have both scopes, except tokens "
        "of OAuth 2, which have the requested ones."
    ),
}
CLIENT = {
    "type": "http",
    "scheme": "basic",
    "description": "The id and the secret of a confidential client of OAuth 2.",
}
PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string", "description": "The URL of the problem type, which says what to do."},
        "title": {"type": "string", "description": "The name of the problem type."},
        "status": {"type": "integer", "description": "The status of the response."},
        "detail": {"type": "string", "description": "What went wrong in this request."},
        "errors": {
            "type": "array",
            "description": "The invalid values.",
            "items": {
                "type": "object",
                "properties": {
                    "field": {"type": "string", "description": "The field; inside a list such as `lines.0.quantity`."},
                    "detail": {"type": "string", "description": "What is wrong with it."},
                },
                "required": ["field", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "errors"],
}
HEADERS = {
    "X-Request-ID": {
        "required": True,
        "description": "The id under which the request is logged: yours, or a generated one.",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "Requests left (`r`) and seconds until the reset (`t`): draft-ietf-httpapi-ratelimit-headers.",
        "schema": {"type": "string"},
        "example": '"default";r=5999;t=42',
    },
    "RateLimit-Policy": {
        "description": "The limit: requests (`q`) in seconds (`w`).",
        "schema": {"type": "string"},
        "example": '"default";q=6000;w=60',
    },
    "Idempotent-Replayed": {
        "description": "`true` if this is the stored response to an earlier request with the same Idempotency-Key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {
        "description": "How to sign in; with 403, where a token lacks a scope, the scope.",
        "schema": {"type": "string"},
        "example": 'Bearer realm="lockstep"',
    },
}
# Without examples: Swagger UI fills them in, and would send each request under the first one's key.
PARAMETERS = {
    "RequestId": {
        "name": "X-Request-ID",
        "in": "header",
        "description": "Your id of this request, for response and change log; at most 128 of `A-Za-z0-9_.:/+=-`.",
        "schema": {"type": "string"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": (
            "Makes it safe to retry the request: for 24 hours, requests with the same key and body are carried out "
            "once and get the same response. A UUID is a good key, with or without quotes."
        ),
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
}
EXAMPLE_ERRORS = [{"field": "title", "detail": "This field may not be blank."}]
# Errors before any view is called: the body is too large or late, or too many requests wait.
BEFORE_VIEWS = (408, 411, 413, 503)
PROBLEM_HEADERS = {
    401: "WWW-Authenticate",
    403: "WWW-Authenticate",
    409: "Retry-After",
    429: "Retry-After",
    503: "Retry-After",
}


def _statuses() -> list[int]:
    return sorted({problem.status for problem in all_problems()} - {405, 500})


def _response(status: int) -> Tree:
    kinds = [problem for problem in all_problems() if problem.status == status]
    return {
        "description": "\n\n".join(f"{kind.title}. {kind.remedy}" for kind in kinds),
        "headers": problem_headers(status),
        "content": {
            CONTENT_TYPE: {
                "schema": reference("schemas", "Problem"),
                "examples": {kind.name: {"summary": kind.title, "value": _example(kind)} for kind in kinds},
            }
        },
    }


def problem_headers(status: int) -> Tree:
    """The headers of a response with a problem."""
    names = [
        "X-Request-ID",
        "RateLimit",
        "RateLimit-Policy",
        *([PROBLEM_HEADERS[status]] if status in PROBLEM_HEADERS else []),
    ]
    return {name: reference("headers", name) for name in names}


def _example(kind: Problem) -> Tree:
    return document(kind, kind.title + ".", EXAMPLE_ERRORS if kind.name == "invalid" else ())


def component_name(problem: Problem) -> str:
    """The name of the component with the response for a problem."""
    return problem.name.title().replace("-", "")


def reference(kind: str, name: str) -> Tree:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}
