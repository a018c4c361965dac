"""The `webhooks` of the OpenAPI document: a message for each event type, with its schema.

The schemas follow from the captures: the columns of a document are those that the log has (changes/columns.py), and
who may read them decides what may be absent or null (changes/readers.py).
"""

from typing import Any, TypeAlias, get_args

from django.db import models

from lockstep.changes.capture import EVERYBODY, STAFF, Capture, Visibility, captured, captures
from lockstep.changes.columns import AnyField, written_field
from lockstep.changes.readers import Kind
from lockstep.conf import lockstep_settings
from lockstep.rest.schema_components import reference
from lockstep.webhooks.deliver import TEST

__all__ = ["add_webhooks"]

Tree: TypeAlias = dict[str, Any]
# The JSON of captured columns, by the field that decides it; the first match counts. Others may be anything.
# That of a JSONField is in its model: `json_schemas = {"<field>": <JSON Schema>}`.
COLUMNS: tuple[tuple[type[AnyField], Tree], ...] = (
    (models.BooleanField, {"type": "boolean"}),
    (models.IntegerField, {"type": "integer"}),
    (models.FloatField, {"type": "number"}),
    (models.DecimalField, {"type": "string", "format": "decimal"}),
    (models.UUIDField, {"type": "string", "format": "uuid"}),
    (models.DateTimeField, {"type": "string", "format": "date-time"}),
    (models.DateField, {"type": "string", "format": "date"}),
    (models.JSONField, {}),
    (models.CharField, {"type": "string"}),
    (models.TextField, {"type": "string"}),
)
PARAMETERS: Tree = {
    "WebhookId": {
        "name": "webhook-id",
        "in": "header",
        "required": True,
        "description": "The id of the message. A repeat has the same id: store it, and ignore what you have processed.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "WebhookTimestamp": {
        "name": "webhook-timestamp",
        "in": "header",
        "required": True,
        "description": "The time of this attempt, in seconds since 1970. Refuse messages that are minutes old.",
        "schema": {"type": "integer"},
    },
    "WebhookSignature": {
        "name": "webhook-signature",
        "in": "header",
        "required": True,
        "description": (
            "`v1,` and the base64 of an HMAC-SHA256 of id, timestamp and body, by the endpoint's secret (Standard "
            "Webhooks). For a day after `rotate` there are several, separated by spaces."
        ),
        "schema": {"type": "string"},
    },
}
RESPONSES: Tree = {
    "2XX": {"description": "The message is delivered. The next change of its object is sent."},
    "410": {"description": "The message is rejected, and the endpoint is disabled."},
    "4XX": {"description": "The message is rejected; you may have it sent again. 408, 409, 425 and 429 are retried."},
    "5XX": {"description": "The message is sent again, also after a timeout, when your `Retry-After` says."},
}
NOTHING: Tree = {"type": "null"}
TEST_DOCUMENT: Tree = {
    "type": "object",
    "properties": {"endpoint": {"type": "string", "format": "uuid"}, "message": {"type": "string"}},
    "required": ["endpoint", "message"],
}


def add_webhooks(result: Tree, **_: object) -> Tree:
    """Adds the messages to endpoints: one for each event type, under its name, and the test event."""
    components = result.setdefault("components", {})
    documents = {f"{_camel(capture.label)}Columns": _document(capture) for capture in captures()}
    events = {f"{capture.label}.{kind}": _event(capture, kind) for capture in captures() for kind in get_args(Kind)}
    events[f"{TEST}.created"] = _message(f"{TEST}.created", "Sent by `POST …/test/` only.", NOTHING, TEST_DOCUMENT)
    schemas = {f"{_camel(name)}Event": schema for name, schema in events.items()}
    components["schemas"] = dict(sorted({**components.get("schemas", {}), **documents, **schemas}.items()))
    components["parameters"] = {**components.get("parameters", {}), **PARAMETERS}
    result["webhooks"] = {name: {"post": _operation(name, schema)} for name, schema in events.items()}
    return result


def _operation(name: str, schema: Tree) -> Tree:
    tag = lockstep_settings.REST_SCHEMA_TAGS.get("lockstep.webhooks.views")
    return {
        "operationId": f"receive_{name.replace('.', '_')}",
        "summary": _summary(name),
        "description": schema["description"],
        "tags": [tag] if tag else [],
        "parameters": [reference("parameters", parameter) for parameter in PARAMETERS],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": reference("schemas", f"{_camel(name)}Event")}},
        },
        "responses": RESPONSES,
        "security": [],
    }


def _event(capture: Capture, kind: Kind) -> Tree:
    """The message of one kind of change. A deletion by going out of sight has no contents (readers.py)."""
    columns = reference("schemas", f"{_camel(capture.label)}Columns")
    before = NOTHING if kind == "created" else columns
    if kind == "deleted" and isinstance(capture.readers, Visibility):
        before = {"oneOf": [columns, NOTHING]}
    return _message(f"{capture.label}.{kind}", _readers(capture), before, NOTHING if kind == "deleted" else columns)


def _message(name: str, description: str, before: Tree, after: Tree) -> Tree:
    return {
        "type": "object",
        "description": description,
        "properties": {
            "type": {"type": "string", "const": name},
            "timestamp": {"type": "string", "format": "date-time", "description": "The time of the change."},
            "data": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "description": "The id of the object."},
                    "before": before,
                    "after": after,
                },
                "required": ["id", "before", "after"],
            },
        },
        "required": ["type", "timestamp", "data"],
    }


def _document(capture: Capture) -> Tree:
    """The captured columns of an object. Those of staff are absent from the messages to all others."""
    return {
        "type": "object",
        "description": f"The captured columns of {capture.label}.",
        "properties": {name: _column(capture, name) for name in capture.columns},
        "required": [name for name in capture.columns if name not in capture.staff_only],
    }


def _column(capture: Capture, name: str) -> Tree:
    field = capture.model._meta.get_field(name)
    written, of_array = written_field(capture.model, name)
    schema = next((dict(schema) for kind, schema in COLUMNS if isinstance(written, kind)), {})
    if isinstance(written, models.JSONField):
        schema = dict(getattr(capture.model, "json_schemas", {}).get(name, {}))
    if choices := getattr(field, "flatchoices", ()):
        schema["enum"] = [value for value, _ in choices]
    if of_array:
        schema = {"type": "array", "items": schema}
    if getattr(field, "null", False) and "type" in schema:
        schema["type"] = [schema["type"], "null"]
        schema |= {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return schema | ({"description": "For staff only."} if name in capture.staff_only else {})


def _readers(capture: Capture) -> str:
    """The users to whom changes of a model are sent, in words."""
    readers = capture.readers
    if isinstance(readers, Visibility):
        owner = f"the user in `{readers.owner}`"
        return f"For all users while `{readers.column}` is `{readers.value}`; otherwise for {owner} and for staff."
    if readers == STAFF:
        return "For staff."
    return "For all users." if readers == EVERYBODY else f"For the user in `{readers}`, and for staff."


def _summary(name: str) -> str:
    """ "shop.product.created" → "Product created"."""
    label, _, kind = name.rpartition(".")
    return "Test event" if label == TEST else f"{captured(label).model._meta.verbose_name} {kind}".capitalize()


def _camel(name: str) -> str:
    """ "posts.post_tag" → "PostsPostTag"."""
    return "".join(part.capitalize() for part in name.replace("_", ".").split("."))
