"""Every parameter of every route with junk: what the description does not allow is 400 and named, the rest is answered.

The operations and their parameters are those of the description. Nothing is ever a 5xx, and nothing that is sent is
ignored: a route that declares no such parameter refuses it. Probes are the exception: a balancer may send anything.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from django.conf import settings
from django.utils import timezone

from lockstep.api.paging import read_cursor
from lockstep.api.parameters import parameters_of
from lockstep.movies.models import Catalogue
from tests.support import Cast, Person

pytestmark = pytest.mark.django_db

PATHS: dict[str, Any] = yaml.load((Path(settings.BASE_DIR) / "docs" / "openapi.yaml").read_text(), yaml.CSafeLoader)[
    "paths"
]
OPERATIONS = [(method, path) for path, item in PATHS.items() for method in item]
PROBES = ("/healthz", "/readyz", "/metrics")
ADDRESSES = {"model": "posts.post", "name": "not-found"}  # for other variables of a path: a number, or an id
# As they stand in a query.
JUNK = {
    "empty": "",
    "blank": "%20",
    "padded": "+5+",
    "zero": "0",
    "negative": "-1",
    "signed": "%2B5",
    "underscored": "1_0",
    "fraction": "1.5",
    "exponent": "1e2",
    "leading zero": "007",
    "64 bits": "18446744073709551616",
    "thousands of digits": "9" * 5_000,
    "Arabic digits": "%D9%A1%D9%A2",
    "word": "true",
    "quote": "'%20OR%201=1--",
    "NUL": "a%00b",
    "surrogate": "%ED%A0%80",
    "not UTF-8": "%FF",
    "64 KB": "x" * 65_536,
    "date without time": "2026-01-31",
    "date that there is not": "2026-02-30T00:00:00Z",
    "date in Arabic digits": "%D9%A2026-01-31T00:00:00Z",
    "UUID in braces": "%7B019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b%7D",
    "UUID without dashes": "019a1b2c3d4e7f508a6b7c8d9e0f1a2b",
    "array": "[]",
}
HEADER_JUNK = ["", " ", "\x7f", "é", '"', 'W/"', '"a" "b"', "*, *", "9" * 1_000, "x" * 9_000, ","]


def parameters(method: str, path: str, where: str) -> Iterator[dict[str, Any]]:
    return (one for one in PATHS[path][method].get("parameters", ()) if one.get("in") == where)


def address(cast: Cast, path: str) -> str:
    """A path with an object that there is, where that matters."""
    if path.startswith("/api/v1/users/{key}"):
        path = path.replace("{key}", str(cast.owner.user.pk))
    variables = {
        name: ADDRESSES.get(name, "00000000-0000-7000-8000-000000000000") for name in re.findall(r"{(\w+)}", path)
    }
    numbered = {name: "1" for name in variables if "number" in name}
    return path.format(**{**variables, **numbered})


def send(person: Person, method: str, path: str, query: str = "", **headers: str) -> Any:
    return person.client.generic(method.upper(), f"{path}?{query}", content_type="application/json", headers=headers)


def allowed(parameter: dict[str, Any], value: str) -> bool:
    """Whether the description allows this value, which is valid UTF-8."""
    schema = parameter["schema"]
    if not value:
        return "when empty" in parameter["description"]
    if parameter["name"] == "cursor":
        return is_cursor(value)
    if schema["type"] == "integer":
        is_number = re.fullmatch("0|[1-9][0-9]{0,18}", value, re.ASCII)
        return bool(is_number) and schema["minimum"] <= int(value) <= schema["maximum"]
    if schema["type"] == "boolean":
        return value in ("true", "false")
    if "enum" in schema:
        return value in schema["enum"]
    if "pattern" in schema:
        return bool(re.search(schema["pattern"], value, re.ASCII))
    if schema.get("format") in ("uuid", "date-time") or parameter["name"] == "events":
        return False  # none of them is one
    return "\0" not in value and len(value) <= schema["maxLength"]


def is_cursor(value: str) -> bool:
    try:
        return bool(read_cursor(value))
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def ready(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a catalogue of movies, and no limit of requests."""
    Catalogue.objects.update_or_create(id=1, defaults={"refreshed": timezone.now()})
    settings.RATE_LIMIT = 10**9
    monkeypatch.setattr("lockstep.accounts.views.count_registration", lambda address: None)


def named(answer: Any) -> list[str]:
    assert answer.status_code == 400, (answer.status_code, answer.content[:500])
    assert len(answer.content) < 10_000
    return [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_unknown_parameters_are_refused_by_their_names(cast: Cast, method: str, path: str):
    where = address(cast, path)
    if path.rstrip("/") in PROBES:
        assert send(cast.staff, method, where, "foo=1").status_code != 400
        return
    assert named(send(cast.staff, method, where, "foo=1")) == ["foo"]
    assert named(send(cast.staff, method, where, "a=1&b&a=2&_=3")) == ["a", "b", "_"]
    assert send(cast.staff, method, where, "=1").status_code == 400
    assert len(named(send(cast.staff, method, where, "&".join(f"{n}{'x' * 200}=1" for n in range(900))))) == 20
    if method == "get":
        assert send(cast.staff, "head", where, "foo=1").status_code == 400


@pytest.mark.parametrize(("method", "path"), [one for one in OPERATIONS if any(parameters(*one, "query"))])
def test_junk_in_a_query_is_refused_by_its_parameter(cast: Cast, method: str, path: str):
    where, streams = address(cast, path), {"events", "last_event_id"}
    for parameter in parameters(method, path, "query"):
        name = parameter["name"]
        for kind, junk in JUNK.items():
            answer = send(cast.staff, method, where, f"{name}={junk}")
            is_text = kind not in ("surrogate", "not UTF-8")
            if name not in streams and is_text and allowed(parameter, unquote(junk.replace("+", " "))):
                assert answer.status_code in (200, 404), (name, kind, answer.content[:500])
            else:
                assert named(answer) == [name], (name, kind)
        assert named(send(cast.staff, method, where, f"{name}=1&{name}=1")) == [name]


@pytest.mark.parametrize(("method", "path"), [one for one in OPERATIONS if any(parameters(*one, "path"))])
def test_junk_in_an_address_is_never_an_error_of_ours(cast: Cast, method: str, path: str):
    for parameter in parameters(method, path, "path"):
        for kind, junk in JUNK.items():
            where = path.replace(f"{{{parameter['name']}}}", junk.replace("+", "%20") or "%20")
            answer = send(cast.staff, method, address(cast, where))
            assert answer.status_code < 500, (parameter["name"], kind)
            assert answer.status_code >= 400, (parameter["name"], kind)


@pytest.mark.parametrize(("method", "path"), [one for one in OPERATIONS if any(parameters(*one, "header"))])
def test_junk_in_a_header_is_never_an_error_of_ours(cast: Cast, method: str, path: str):
    where = address(cast, path)
    for parameter in parameters(method, path, "header"):
        for junk in HEADER_JUNK:
            assert send(cast.staff, method, where, **{parameter["name"]: junk}).status_code < 500, (parameter, junk)


def test_what_is_described_is_what_is_read():
    """Each query parameter of the description is one that the view reads, and the other way round."""
    from lockstep.api.views import View
    from lockstep.config import urls  # noqa: F401

    described = {one["name"] for operation in OPERATIONS for one in parameters(*operation, "query")}
    read: set[str] = set()
    waiting: list[type] = [View]
    while waiting:
        view = waiting.pop()
        waiting += view.__subclasses__()
        for method in ("get", "post", "put", "patch", "delete"):
            read |= parameters_of(view, method).keys()
    assert read == described
