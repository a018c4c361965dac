"""The OpenAPI document: what all endpoints share is here and in schema_components.py, the rest beside each view.

A view declares its request and its responses (`@extend_schema`), and its docstring is the description. Its errors,
headers and scopes follow from the view by rule. Any other status from 400 on is declared with None, or with a
serializer.
"""

from collections.abc import Collection, Iterator
from http import HTTPStatus
from typing import Any

from drf_spectacular import openapi
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import ComponentRegistry
from drf_spectacular.utils import OpenApiParameter
from rest_framework.permissions import SAFE_METHODS
from rest_framework.serializers import BaseSerializer

from lockstep.conf import lockstep_settings
from lockstep.rest.errors import CONTENT_TYPE
from lockstep.rest.paging import (
    DEFAULT_CURSOR_LIMIT,
    DEFAULT_LIMIT,
    ESTIMATED,
    EXACT,
    MAX_CURSOR_LIMIT,
    MAX_LIMIT,
    MAX_OFFSET,
    MAX_PAGE,
    NUMBERED_SIZE,
    read_cursor,
)
from lockstep.rest.parameters import QueryParameter, choice, integer
from lockstep.rest.permissions import ReadsToo
from lockstep.rest.problems import problem_of
from lockstep.rest.routes import ID, NAME
from lockstep.rest.schema_components import BEFORE_VIEWS, Tree, component_name, problem_headers, reference
from lockstep.rest.serializers import StrictSerializer
from lockstep.rest.views import View

__all__ = [
    "ARRAY_PAGE",
    "CHANGES_VERSION",
    "CREATES_VERSION",
    "CURSOR_PAGE",
    "DELETES_VERSION",
    "NUMBERED_PAGE",
    "READS_VERSION",
    "SHOWS_VERSION",
    "cursor_page",
    "ordering",
]

# --- Declared by views with parameters=… -------------------------------------------------------------


def _header(name: str, description: str, *statuses: int, **options: Any) -> OpenApiParameter:  # noqa: ANN401 - options
    return OpenApiParameter(
        name, str, OpenApiParameter.HEADER, description=description, response=list(statuses) or False, **options
    )


BYTES = "A page with more than 1 MB of rows ends earlier, and its link to the next page continues there."


# ETags (concurrency.py) of reads, deletions, changes and creations. A read may return 304.
READS_VERSION = [
    _header("If-Match", 'The ETag that you expect, such as `"7"`. If the object has another one, the response is 412.'),
    _header(
        "If-None-Match", 'The ETags that you have, such as `"7"`. If the object has one of them, the response is 304.'
    ),
    _header("ETag", 'The version of the object, such as `"7"`.', 200, 304, required=True),
]
DELETES_VERSION = [
    _header(
        "If-Match",
        'The ETag that you have read, such as `"7"`. If the object has another one by now, the response is 412.',
    )
]
SHOWS_VERSION = [_header("ETag", "The new version of the object.", 200, required=True)]
CHANGES_VERSION = [*DELETES_VERSION, *SHOWS_VERSION]
CREATES_VERSION = [_header("ETag", "The version of the object.", 201, required=True)]


def ordering(names: Collection[str]) -> QueryParameter:
    """The parameter `ordering` of a list; the first name is the default."""
    first, *_ = names
    description = "The order of the rows; `-` is descending. The default when empty."
    constants = [_constant(name) for name in names]
    return choice("ordering", description, names, default=first, may_be_empty=True, constants=constants)


def _constant(name: str) -> str:
    """The constant of an ordering in generated clients, such as CREATED_DESCENDING for `-created`."""
    return f"{name.removeprefix('-')}_{'descending' if name.startswith('-') else 'ascending'}".upper()


def cursor_page(size: int) -> list[OpenApiParameter]:
    """The parameters of a list with cursors, and with `size` rows on a page by default."""
    return [
        QueryParameter(
            "cursor",
            {"type": "string", "minLength": 1},
            read_cursor,
            "A place in the list, taken from `next` or `previous`.",
        ),
        integer("limit", f"The number of rows on a page. {BYTES}", minimum=1, maximum=MAX_CURSOR_LIMIT, default=size),
        integer(
            "offset",
            "The number of rows to skip, instead of `cursor`; adds `count`. Beyond 10,000, `next` has a `cursor`.",
            maximum=MAX_OFFSET,
            hint="Use `cursor` to go further.",
        ),
        choice(
            "count",
            "Adds `count`, the number of all rows. `estimated` is exact up to 10,000 and quick beyond.",
            [EXACT, ESTIMATED],
        ),
        _header("X-Count", "`estimated` where `count` is an estimate.", 200),
    ]


CURSOR_PAGE = cursor_page(DEFAULT_CURSOR_LIMIT)
NUMBERED_PAGE = [
    integer(
        "page",
        "The number of the page; the first when empty.",
        minimum=1,
        maximum=MAX_PAGE,
        default=1,
        may_be_empty=True,
    ),
    integer("skip", "The number of rows to skip, instead of `page`.", maximum=MAX_PAGE),
    integer("limit", f"The number of rows on a page. {BYTES}", minimum=1, maximum=DEFAULT_LIMIT, default=NUMBERED_SIZE),
]
ARRAY_PAGE = [
    integer("_page", "The number of the page.", minimum=1, maximum=MAX_PAGE, default=1),
    integer("_start", "The number of rows to skip, instead of `_page`.", maximum=MAX_PAGE),
    integer("_limit", f"The number of rows on a page. {BYTES}", minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
    OpenApiParameter(
        "X-Total-Count",
        int,
        OpenApiParameter.HEADER,
        description="The number of all rows.",
        response=[200],
        required=True,
    ),
    _header("Link", "The first, previous, next and last page (RFC 8288), if there are several.", 200),
]

# --- Derived by rule -------------------------------------------------------------------------------

NUMBER = "^[0-9]{1,18}$"
UUID = f"^{ID}$"
PATH_PARAMETERS = {
    NUMBER: {"schema": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}, "description": "A number."},
    UUID: {"schema": {"type": "string", "format": "uuid"}, "description": "An id (UUID)."},
    f"^{NAME}$": {
        "schema": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": "An id (UUID) or a name.",
    },
}
LIMITS = ("maxLength", "minLength", "pattern", "maxItems", "minItems", "format")
KEPT_FORMATS = ("date-time", "uuid", "uri")


class DecimalSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # as its base registers it
    """A decimal number: a string of digits; a JSON number is accepted, too."""

    target_class = "lockstep.rest.fields.DecimalNumber"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: openapi.AutoSchema, direction: str) -> Tree:
        """The schema of the field in requests or responses."""
        whole, places = self.target.max_digits - self.target.decimal_places, self.target.decimal_places
        pattern = f"^[0-9]{{1,{whole}}}(\\.[0-9]{{1,{places}}})?$"
        as_text = {"type": "string", "format": "decimal", "pattern": pattern}
        return as_text if direction == "response" else {"anyOf": [as_text, {"type": "number", "minimum": 0}]}


class AutoSchema(openapi.AutoSchema):
    """The operation of one method of one view."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> Tree | None:
        """The operation as the view declares it, with what all endpoints share."""
        operation: Tree | None = super().get_operation(path, path_regex, path_prefix, method, registry)
        if operation is None:
            return None
        operation["parameters"] = [*operation.get("parameters", ()), *self._shared_parameters()]
        responses = {int(status): response for status, response in operation["responses"].items()}
        for status in self._by_rule(operation):
            responses.setdefault(status, {})
        if any(one.get("name") == "If-None-Match" for one in operation["parameters"]):
            headers = self._get_response_headers_for_code("304")
            responses[304] = {"description": "You have this version.", "headers": headers}
        for status, response in responses.items():
            if status >= 400 and "content" not in response:
                responses[status] = reference("responses", component_name(problem_of(status)))
                continue
            if status in BEFORE_VIEWS:
                response["content"][CONTENT_TYPE] = {"schema": reference("schemas", "Problem")}
            headers = self._shared_headers() if status < 400 else problem_headers(status)
            response["headers"] = {**response.get("headers", {}), **headers}
            response["description"] = response["description"] or HTTPStatus(status).phrase
        operation.setdefault("security", [])  # explicit for operations without a token, too
        operation["responses"] = {str(status): responses[status] for status in sorted(responses)}
        return operation

    def get_tags(self) -> list[str]:
        """The tag of the system to which the view or one of its base classes belongs (REST_SCHEMA_TAGS)."""
        tags = lockstep_settings.REST_SCHEMA_TAGS
        named = [tags[cls.__module__] for cls in type(self.view).__mro__ if cls.__module__ in tags]
        return named[:1] or list(super().get_tags())

    def get_summary(self) -> str | None:
        """The first paragraph of the docstring."""
        summary: str = super().get_description().partition("\n\n")[0]
        return " ".join(summary.split()).removesuffix(".").replace("`", "")  # a summary is plain text

    def get_description(self) -> str:  # type: ignore[override]  # the library's own has no arguments, too
        """The rest of the docstring."""
        description: str = super().get_description().partition("\n\n")[2]
        return description

    def get_auth(self) -> list[Tree]:
        """The scopes that the bearer token needs; nothing for a view without authentication."""
        needed = ["read"] if self.method in SAFE_METHODS else ["write"]
        if ReadsToo in self.view.permission_classes and ReadsToo.applies_to(self.method):
            needed.append("read")
        clients: list[Tree] = [{"client": []}] if getattr(self.view, "takes_clients", False) else []
        return [{"bearer": needed}, *clients] if self.view.get_authenticators() else []

    def _get_request_body(self, direction: str = "request") -> Tree | None:
        """The request body; a view declares the body of a DELETE with `bodies`, which the library does not support."""
        if self.method != "DELETE" or "DELETE" not in getattr(self.view, "bodies", ()):
            return super()._get_request_body(direction)  # type: ignore[no-any-return, no-untyped-call]
        self.method = "PUT"
        try:
            return super()._get_request_body(direction)  # type: ignore[no-any-return, no-untyped-call]
        finally:
            self.method = "DELETE"

    def _resolve_path_parameters(self, variables: list[str]) -> list[Tree]:
        parameters: list[Tree] = super()._resolve_path_parameters(variables)  # type: ignore[no-untyped-call]
        for parameter in parameters:
            pattern = parameter["schema"].get("pattern", "")
            if "|" in pattern:
                parameter["schema"] = {"type": "string", "pattern": f"^(?:{pattern[1:-1]})$"}
                parameter["description"] = "An id (UUID) or a number."
            parameter.update(PATH_PARAMETERS.get(pattern, {}))
        return parameters

    def _postprocess_serializer_schema(self, schema: Tree, serializer: BaseSerializer[object], direction: str) -> Tree:
        """Limits apply to requests; responses may have older values, and always have all properties."""
        schema = super()._postprocess_serializer_schema(schema, serializer, direction)  # type: ignore[no-untyped-call]
        properties: Tree = schema.get("properties", {})
        if direction == "request" and isinstance(serializer, StrictSerializer):
            schema["additionalProperties"] = False
        if direction == "response":
            schema["required"] = sorted(set(properties) - set(getattr(serializer, "optional", ())))
            schema["properties"] = {name: _without_limits(one) for name, one in properties.items()}
        example = getattr(serializer, "example", {})
        if values := {name: value for name, value in example.items() if name in properties}:
            schema["examples"] = [values]
        return schema

    @property
    def _replays(self) -> bool:
        return self.method == "POST" and getattr(self.view, "replays", True)

    def _shared_parameters(self) -> Iterator[Tree]:
        yield reference("parameters", "RequestId")
        if self._replays:
            yield reference("parameters", "IdempotencyKey")

    def _shared_headers(self) -> Tree:
        names = ["X-Request-ID"]
        if isinstance(self.view, View):
            names += ["RateLimit", "RateLimit-Policy"]
        if self._replays:
            names += ["Idempotent-Replayed"]
        return {name: reference("headers", name) for name in names}

    def _by_rule(self, operation: Tree) -> Iterator[int]:
        """The statuses of errors that follow from the view."""
        if not isinstance(self.view, View):
            return
        own = {one["name"]: one["in"] for one in operation["parameters"] if "name" in one}
        safe = self.method in SAFE_METHODS
        yield from (406, 429, 503)
        yield 400  # for an unknown query parameter, at least
        yield from (401, 403) if self.view.get_authenticators() else ()
        yield from (404,) if "path" in own.values() else ()
        yield from (409,) if not safe else ()
        yield from (422,) if self._replays else ()
        yield from (412,) if "If-Match" in own else ()
        yield from (408, 411, 413, 415) if "requestBody" in operation else ()


def _without_limits(schema: Tree) -> Tree:
    kept = {name: value for name, value in schema.items() if name not in LIMITS or value in KEPT_FORMATS}
    if all(one.get("type") == "string" for one in kept.get("oneOf", [{}])):  # a text with or without limits
        kept = {"type": "string", **{name: value for name, value in kept.items() if name != "oneOf"}}
    if "items" in kept:
        kept["items"] = _without_limits(kept["items"])
    return kept


# --- Order ------------------------------------------------------------------------------------------


def order_paths(result: Tree, **_: object) -> Tree:
    """Puts canonical routes first. The others are deprecated: those of the predecessors, and aliases.

    A view at two paths is two operations with an operationId each: the canonical one has the plain one. A deprecated
    operation names its replacement.
    """
    paths, seen = result["paths"], dict[str, str]()
    for path in sorted(paths, key=lambda path: (_is_old(path), len(path))):
        for method, operation in paths[path].items():
            first = seen.setdefault(operation["operationId"], path)
            if first != path:
                operation["operationId"] += "_alias"
            if first != path or _is_old(path):
                operation["deprecated"] = True
                instead = f"Deprecated: use `{_replacement(paths, path, first, method)}`."
                operation["description"] = "\n\n".join([instead, operation.get("description", "")]).rstrip()
    result["paths"] = dict(sorted(paths.items(), key=lambda item: "deprecated" in next(iter(item[1].values()))))
    return result


def _is_old(path: str) -> bool:
    return path.startswith(tuple(lockstep_settings.REST_SCHEMA_DEPRECATED))


def _replacement(paths: Tree, path: str, first: str, method: str) -> str:
    """The replacement of a deprecated operation: the view's `first` path, or the path under the new prefix.

    With the method, if it is the same there.
    """
    new = first
    if new == path:
        [(old, prefix)] = [
            (old, new) for old, new in lockstep_settings.REST_SCHEMA_DEPRECATED.items() if path.startswith(old)
        ]
        new = path.replace(old, prefix, 1)
    return f"{method.upper()} {new}" if method in paths[new] else new
