"""Every parameter of every route with junk: what the description does not allow is 400 and named, the rest is answered.

The operations and their parameters are those of the description. Nothing is ever a 5xx, and nothing that is sent is
ignored: a route that declares no such parameter refuses it. Probes are the exception: a balancer may send anything.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes
from uuid import UUID

import orjson
import pytest
from django.urls import get_resolver
from django.utils import timezone

from backend.movies.models import Catalogue
from lockstep.rest.middleware import MAX_HEADER
from lockstep.rest.paging import read_cursor
from lockstep.rest.requests import parameters_of
from tests.schema_fixtures import SchemaFixtures, description
from tests.security.strangers import CASES, SEED, Answered, Sent, Server
from tests.security.test_authorisation_matrix import METHODS, routes
from tests.support import Cast, Person

SHORT_CASES = 1_000

pytestmark = pytest.mark.django_db

PATHS, COMPONENTS = description()["paths"], description()["components"]["parameters"]
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
    "what stands for bytes that are not UTF-8": "%EF%BF%BD",
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
    described = (resolved(one) for one in PATHS[path][method].get("parameters", ()))
    return (one for one in described if one["in"] == where)


def resolved(parameter: dict[str, Any]) -> dict[str, Any]:
    return COMPONENTS[parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter


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
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_RATE_LIMIT": 10**9}
    monkeypatch.setattr("backend.accounts.views.count_registration", lambda address: None)


def named(answer: Any) -> list[str]:
    assert answer.status_code == 400, (answer.status_code, answer.content[:500])
    assert len(answer.content) < 10_000
    return fields_of(answer.json())


SENTENCE = re.compile(r"[A-Z].*\.", re.DOTALL)  # our own sentences, and no error of Python


def fields_of(problem: dict[str, Any]) -> list[str]:
    assert all(SENTENCE.fullmatch(error["detail"]) for error in problem["errors"]), problem
    return [error["field"] for error in problem["errors"]]


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


# --- At length: whatever a seeded generator makes of these -------------------------------------------------

# Of which most values are made: nearly what some parameter takes, and what some reader of texts stumbles upon.
PIECES = (
    *("0", "1", "7", "-", "+", ".", "e", "E9", "_", "9" * 19, "9" * 400, "0x1", "inf", "nan", "Infinity", "true"),
    *("2026-01-31", "T", "t", " ", "12:00:00", "24:00:60", "Z", "+00:00", "-99:99", ".123456789", "0001-01-01", "9999"),
    *("019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b", "019a1b2c", "urn:uuid:", "{", "}", "posts.post", ".*", "*", "created"),
    *("cD0=", "cD0x", "cj0x", "cD0wMTlhMWIyYy0zZDRlLTdmNTAtOGE2Yi03YzhkOWUwZjFhMmI=", "=", "==", "p=", "&", ";", "?"),
    *("%", "%%", "%s", "{}", "{0}", "\\", "\\\\", "'", '"', "`", "--", "/*", "*/", "$$", "(", ")", "[", "]", "|", "<"),
    *("!", ":*", "&!", "/", "//", "../", "#", "@", "\0", "\x01", "\x1f", "\x7f", "\x80", "\xa0", "\r", "\n", "\t"),
    *("\u0130", "\u00df", "\ufb03", "\u0301", "\u0301\u0316" * 90, "\u200b", "\u202e", "\u2028", "\ufeff", "\ufffd"),
    *("\ufffe", "\U0001f469\u200d\U0001f467", "\U0010ffff", "\ud800", "\udfff", "\u0661", "\uff17", "\u00b2"),
    *("a " * 99, "user:1", "Bread", "and", "or", "00000000/1:1:/1:1:/0", "W/", '"1"', "00-" + "a" * 32, "x" * 201),
)
VALUES = (*(unquote_to_bytes(junk.replace("+", " ")) for junk in JUNK.values()), *map(str.encode, HEADER_JUNK))
PARAMETERS = [(*at, resolved(one)) for at in OPERATIONS for one in PATHS[at[1]][at[0]]["parameters"]]
NOT_EXACT = ("cursor", "events", "last_event_id")  # what is one of these, is more than `allowed` knows


@dataclass(frozen=True)
class FuzzedRequest:
    """A request, and the values of its query's parameters if no others are junk."""

    sent: Sent
    query: list[tuple[dict[str, Any], bytes]]


@dataclass(frozen=True)
class Fuzzer:
    """Makes requests in which one or several parameters have unexpected values."""

    fixtures: SchemaFixtures

    def request(self, number: int) -> FuzzedRequest:
        """The request of this number: always the same, of the objects that there are."""
        chance = Random(number)
        method, path, first = chance.choice(PARAMETERS)
        others = [one for one in map(resolved, PATHS[path][method]["parameters"]) if one != first]
        others = chance.sample(others, min(len(others), chance.choice((0, 0, 0, 1, 2, 8))))
        junk = [(one, junk_for(one, chance)) for one in (first, *others)]
        of = {where: [pair for pair in junk if pair[0]["in"] == where] for where in ("path", "query", "header")}
        for one, value in of["path"]:
            path = path.replace(f"{{{one['name']}}}", quote(value, safe="") or "%20")
        query = [*of["query"], *(of["query"][:1] if chance.random() < 0.05 else ())]
        target = f"{self.fixtures.target(path)}?" + "&".join(f"{one['name']}={quote(value)}" for one, value in query)
        headers = {"Authorization": f"Bearer {self.fixtures.token}", "Content-Type": "application/json"}
        headers |= {
            one["name"]: re.sub("[\r\n\0]", "", value.decode("latin-1"))[:MAX_HEADER] for one, value in of["header"]
        }
        return FuzzedRequest(Sent(method.upper(), target, headers), query if len(of["query"]) == len(junk) else [])


def junk_for(parameter: dict[str, Any], chance: Random) -> bytes:
    kind = chance.random()
    if kind < 0.1:
        return chance.choice(VALUES)
    if kind < 0.2:
        return chance.randbytes(chance.randrange(40))
    if kind < 0.4:
        return nearly(parameter["schema"], chance).encode("utf-8", "surrogatepass")
    text = "".join(chance.choice(PIECES) for _ in range(chance.randrange(6))).encode("utf-8", "surrogatepass")
    if parameter["name"] == "cursor":  # one by its form, of a place that there is not
        place = chance.choice((text, b"[" + text + b"]", b"019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b"))
        return b64encode(f"p={quote(place)}{chance.choice(('', '&r=1'))}".encode())
    return text


def nearly(schema: dict[str, Any], chance: Random) -> str:
    """What the description allows, or one step beside it."""
    if schema["type"] == "integer":
        text = str(chance.choice([schema["minimum"], schema.get("maximum", 10**18), 1]) + chance.choice((-1, 0, 0, 1)))
    elif schema["type"] == "boolean":
        text = chance.choice(("true", "false"))
    elif "enum" in schema:
        text = chance.choice(schema["enum"])
    elif schema.get("format") == "date-time":
        text = f"2026-{chance.randrange(14):02}-{chance.randrange(33):02}T{chance.randrange(26):02}:00:00Z"
    elif schema.get("format") == "decimal":
        text = f"{chance.randrange(10**11)}.{chance.randrange(200)}"
    elif "pattern" in schema or schema.get("format") == "uuid":
        text = chance.choice((str(UUID(int=chance.getrandbits(128))), str(chance.getrandbits(66))))
    else:
        text = chance.choice(("\xe4", "a", "\U0001f469", "\ufb03")) * chance.choice((1, 199, 200, 201))
    where = chance.randrange(len(text) + 1)
    return text if chance.random() < 0.6 else text[:where] + chance.choice(PIECES) + text[where + 1 :]


def check_parameters(request: FuzzedRequest, answer: Answered) -> None:
    """What is not allowed is refused by its name, and nothing else is."""
    names = [one["name"] for one, _ in request.query]
    verdicts = [verdict(one, value) for one, value in request.query]
    seen = (request, answer.status, answer.body[:500])
    if answer.status == 400:
        assert {*fields_of(orjson.loads(answer.body))} <= {*names}, seen
    if len(set(names)) < len(names) or False in verdicts:
        assert answer.status == 400, seen
    elif len(names) == 1 and verdicts == [True]:
        assert answer.status in (200, 404), seen


def verdict(parameter: dict[str, Any], value: bytes) -> bool | None:
    """Whether the description allows this value; None where that is more than we know."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return False
    if text and (parameter["name"] in NOT_EXACT or parameter["schema"].get("format") in ("uuid", "date-time")):
        return None
    return allowed(parameter, text)


@pytest.mark.faults
@pytest.mark.timeout(7_200)
def test_no_parameter_is_a_500_at_length(fixtures: SchemaFixtures):
    fuzz(fixtures, range(SEED, SEED + CASES))


@pytest.mark.slow
def test_no_parameter_is_a_500(fixtures: SchemaFixtures):
    fuzz(fixtures, range(SHORT_CASES))


def fuzz(fixtures: SchemaFixtures, numbers: Iterable[int]) -> None:
    server, fuzzer = Server(), Fuzzer(fixtures)
    for number in numbers:
        request = fuzzer.request(number)
        answer = server.try_out(request.sent)
        if request.query and not any(request.sent.target.startswith(probe) for probe in PROBES):
            check_parameters(request, answer)
    server.tally.report()


def test_described_parameters_are_the_read_ones():
    """Each query parameter of the description is one that the view reads, and the other way round."""
    described = {one["name"] for operation in OPERATIONS for one in parameters(*operation, "query")}
    views = {getattr(pattern.callback, "cls", None) for _, pattern in routes(get_resolver())} - {None}
    read = {name for view in views for method in METHODS for name in parameters_of(view, method.lower())}
    assert read == described
