"""The ids of operations, which are function names in generated clients: chosen by one pattern, and never changed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.schema_fixtures import description

PINNED = Path(__file__).parent / "operation_ids.txt"
VERBS = {
    *("list", "get", "create", "update", "replace", "delete", "put"),
    *("add", "remove", "cancel", "confirm", "order", "follow", "unfollow", "register", "change", "sign"),
    *("refresh", "verify", "revoke", "introspect", "redeliver", "rotate", "test", "check", "receive"),
}
# The verb of a method on a resource; actions, each a POST of its own, have their own.
BY_METHOD = {
    "get": {"list", "get", "check"},
    "put": {"replace", "put", "add", "update"},  # update: the posts' routes are named so
    "patch": {"update"},
    "delete": {"delete", "remove", "unfollow"},
}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The method and path of each operation."""
    for path, item in description()["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def test_ids_are_those_that_clients_have():
    """A new operation adds a line. No line changes: that would rename a function of every generated client."""
    lines = sorted(f"{one['operationId']} {method.upper()} {path}" for method, path, one in operations())
    assert lines == PINNED.read_text(encoding="utf-8").splitlines()


def test_ids_are_unique_with_those_of_webhooks():
    ids = [one["operationId"] for _, _, one in operations()]
    ids += [item["post"]["operationId"] for item in description()["webhooks"].values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("method", "path", "operation"), [pytest.param(*one, id=one[2]["operationId"]) for one in operations()]
)
def test_an_id_is_a_verb_and_its_object(method: str, path: str, operation: dict[str, Any]):
    name = operation["operationId"]
    assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", name)
    verb = name.partition("_")[0]
    assert verb in BY_METHOD.get(method, VERBS)
    assert name.endswith("_alias") <= operation.get("deprecated", False)
    content = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    reference = content.get("schema", {}).get("$ref", "")
    is_list = reference.endswith("Page") or content.get("schema", {}).get("type") == "array"
    assert (verb == "list") is is_list
