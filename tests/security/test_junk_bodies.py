"""Bytes in, CPU out in proportion: a megabyte of junk costs little, and its answer is short."""

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import orjson
import pytest

from tests.schema_fixtures import SchemaFixtures, description
from tests.security.strangers import Sent, Server

SIZE = 1_000_000
MARKS = "\u0301\u0316"  # each pair is put in order by who normalises a text: all of them by the square of their number
JUNK: dict[str, Callable[[str, object], object]] = {
    "unknown fields": lambda name, example: {f"{n:06}": n for n in range(SIZE // 16)},
    "a few unknown fields with long names": lambda name, example: {f"{n:03}" + "x" * 10_000: n for n in range(90)},
    "a long text": lambda name, example: {**example, name: "x" * SIZE},
    "combining marks": lambda name, example: {**example, name: MARKS * (SIZE // 4)},
    "spaces": lambda name, example: {**example, name: " " * (SIZE - 100) + "x"},
    "digits": lambda name, example: {**example, name: "9" * SIZE},
    "an address": lambda name, example: {**example, name: "http://" + "a." * (SIZE // 2)},
    "control characters": lambda name, example: {**example, name: "\x01" * (SIZE // 6)},
    "a list of numbers": lambda name, example: {**example, name: [1] * (SIZE // 2)},
    "a list of objects": lambda name, example: {**example, name: [{}] * (SIZE // 3)},
    "as many objects as are read": lambda name, example: {**example, name: [{"x": "y" * 90}] * 4_999},
    "an object": lambda name, example: {**example, name: {f"{n:06}": n for n in range(9_900)}},
}
MEMBERS = b",".join(b'"%04d":1' % number for number in range(9_900))
TWICE = {  # JSON that our own writer cannot produce
    "a member twice among many": b"{" + MEMBERS + b',"9899":1}',
    "each member twice": b"{" + MEMBERS + b"," + MEMBERS + b"}",
    "one member very often": b"{" + b",".join([b'"a":1'] * (SIZE // 7)) + b"}",
}
FORMS = {
    "a long name": "username=" + "x" * SIZE,
    "combining marks": "username=" + "%CC%81%CC%96" * (SIZE // 12),
    "unknown fields": "&".join(f"{n:06}=1" for n in range(SIZE // 9)),
    "many of one field": "&".join(["token=1"] * (SIZE // 8)),
    "a long password": "username=ada&password=" + "%00" * (SIZE // 3),
    "many scopes": "username=ada&password=x&scope=" + "read+" * (SIZE // 5),
    "a long token": "token=eyJ" + "." * SIZE,
}


def bodies(operation: Mapping[str, Any], turn: int, *, whole: bool) -> Iterator[tuple[str, bytes]]:
    """Junk for one operation: its media type, and the body. In the short form each operation gets every third kind."""
    content = operation.get("requestBody", {}).get("content", {})
    for media_type, described in content.items():
        if media_type != "application/json":
            yield from ((media_type, form.encode()) for form in FORMS.values())
            continue
        every = 1 if whole else 3
        yield from ((media_type, body) for body in list(TWICE.values())[turn % every :: every])
        shape = description()["components"]["schemas"][described["schema"]["$ref"].rpartition("/")[2]]
        example = next(iter(shape.get("examples", [{}])))
        fields = list(shape["properties"]) if whole else []
        for number, make in list(enumerate(JUNK.values()))[turn % every :: every]:
            for name in fields or [list(shape["properties"])[number % len(shape["properties"])]]:
                yield media_type, orjson.dumps(make(name, example))


def send_junk(fixtures: SchemaFixtures, *, whole: bool) -> None:
    server, turns = Server(), count()
    for path, item in description()["paths"].items():
        for method, operation in item.items():
            for media_type, body in bodies(operation, next(turns), whole=whole):
                headers = {"Content-Type": media_type, "Authorization": f"Bearer {fixtures.token}"}
                server.try_out(Sent(method.upper(), fixtures.target(path), headers, body))
    assert server.tally.requests > (1_000 if whole else 150)
    server.tally.report()


@pytest.mark.slow
def test_a_megabyte_of_junk_costs_little_and_is_refused_briefly(fixtures: SchemaFixtures):
    send_junk(fixtures, whole=False)


@pytest.mark.faults
def test_a_megabyte_of_junk_in_every_field_costs_little_and_is_refused_briefly(fixtures: SchemaFixtures):
    send_junk(fixtures, whole=True)
