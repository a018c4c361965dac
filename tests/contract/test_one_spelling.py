"""What is the same in all operations is spelt the same: lists, money, times, users."""

from collections.abc import Iterator
from typing import Any

from tests.schema_fixtures import description

MONEY = {"price", "total"}
NAMES_OF_USERS = {"owner", "owner_id", "buyer_id", "follower_id", "followed_id"}
UUID = {"type": "string", "format": "uuid"}


def properties() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Component, name and schema of each property that responses and messages have."""
    for component, schema in description()["components"]["schemas"].items():
        if not component.endswith("Request"):
            for name, value in schema.get("properties", {}).items():
                yield component, name, value


def lists() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Path, operation and schema of each list below /api/v1/."""
    schemas = description()["components"]["schemas"]
    for path, item in description()["paths"].items():
        operation = item.get("get", {})
        if path.startswith("/api/v1/") and operation.get("operationId", "").startswith("list_"):
            reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
            yield path, operation, schemas[reference.rpartition("/")[2]]


def test_lists_have_one_envelope():
    found = list(lists())
    assert len(found) > 15
    for path, _, page in found:
        assert set(page["properties"]) - {"stale"} == {"count", "next", "previous", "results"}, path
        assert {"next", "previous", "results"} <= set(page["required"]), path


def test_lists_with_a_cursor_count_on_request():
    for path, operation, page in lists():
        names = {parameter.get("name") for parameter in operation["parameters"]}
        if "cursor" in names:
            assert {"limit", "offset", "count"} <= names, path
            assert "count" not in page["required"], path
        else:
            assert names >= {"page", "skip", "limit"} or path == "/api/v1/states/", path


def test_money_is_a_text():
    found = [(component, schema) for component, name, schema in properties() if name in MONEY]
    assert len(found) > 8
    assert [component for component, schema in found if schema["type"] != "string"] == []


def test_times_have_a_format():
    found = [
        (component, name, schema) for component, name, schema in properties() if name in ("created", "updated", "at")
    ]
    assert len(found) > 15
    assert [one for one in found if one[2].get("format") != "date-time"] == []


def test_users_are_named_by_their_ids():
    found = [schema for _, name, schema in properties() if name in NAMES_OF_USERS]
    assert len(found) > 5
    assert all(UUID.items() <= schema.items() for schema in found)
