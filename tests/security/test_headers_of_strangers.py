"""Headers, methods and targets by a fuzzer, against every route: nothing of it is a mistake of ours."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from random import Random

import pytest

from lockstep.rest.middleware import MAX_HEADER
from tests.schema_fixtures import SchemaFixtures, description
from tests.security.strangers import CASES, SEED, Sent, Server

SHORT_CASES = 1_000
JSON = {"Content-Type": "application/json"}

NAMES = (
    *("Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Authorization"),
    *("Access-Control-Request-Headers", "Access-Control-Request-Method", "Connection", "Content-Encoding"),
    *("Content-Length", "Content-Location", "Content-Range", "Content-Type", "Cookie", "Date", "Expect", "Forwarded"),
    *("Host", "Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since"),
    *("Last-Event-ID", "Max-Forwards", "Origin", "Prefer", "Proxy-Authorization", "Range", "Referer", "TE", "Upgrade"),
    *("Transfer-Encoding", "User-Agent", "Via", "X-CSRFToken", "X-Forwarded-For", "X-Forwarded-Host"),
    *("X-Forwarded-Port", "X-Forwarded-Proto", "X-HTTP-Method-Override", "X-Request-ID", "X-Requested-With"),
)
PIECES = (
    *(
        "application/json",
        "text/plain",
        "x/y",
        "*/*",
        "text/*",
        "application/x-www-form-urlencoded",
        "text/event-stream",
    ),
    *("multipart/form-data", "boundary=x", "boundary=", "charset=", "utf-8", "hex", "idna", "zlib", "base64", "rot13"),
    *(
        "undefined",
        "utf-16",
        "utf-7",
        "punycode",
        "unicode_escape",
        "mbcs",
        "title*=NOPE''a",
        "title*=utf-8''%ff",
        "q=0",
    ),
    *(
        "q*=hex'en'a",
        "filename*0*=x''y",
        "q=1e400",
        "q=nan",
        "Bearer",
        "bearer ",
        "Basic",
        "Basic Og==",
        "Digest",
        "lsk_",
    ),
    *(
        "eyJhbGciOiJub25lIn0.e30.",
        "eyJ",
        ".",
        "..",
        "W/",
        '"',
        '"7"',
        'W/"7"',
        "*",
        ",",
        ";",
        "=",
        "'",
        "\\",
        "%",
        "%00",
    ),
    *(
        "%ff",
        "bytes=",
        "0-",
        "-1",
        "0-0",
        "bytes=0-18446744073709551616",
        "chunked",
        "gzip",
        "identity",
        "100-continue",
    ),
    *(
        "127.0.0.1",
        "[::1]",
        "[",
        "]",
        "[::1%25eth0]",
        "localhost",
        ":8000",
        ":99999",
        "@",
        "evil.example",
        "http://",
        "//",
    ),
    *(
        "https",
        "GET",
        "DELETE",
        "sessionid=",
        "csrftoken=",
        "$Version=1",
        "0",
        "7",
        "-7",
        "9" * 30,
        "1e999",
        "NaN",
        " ",
    ),
    *(
        "\t",
        "\x80",
        "\xe9",
        "\xff",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 99 Nov 99999999999 08:49:37 GMT",
        "for=",
        "unix:",
    ),
    *(
        "00000000/1:1:/1:1:/0",
        "posts.post.created",
        "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b",
        "x" * 300,
        "(" * 50,
        "a,a," * 50,
    ),
)
WHOLE = (  # some of them caused a 500 once
    *("text/plain; charset=hex", "text/plain; charset=idna", "text/plain; charset=zlib", "x/y; title*=NOPE''a"),
    *("application/json; q*=NOPE''a", "application/json; charset=utf-16", "multipart/form-data; boundary*=NOPE''a"),
    *("multipart/form-data; boundary=" + "x" * 300, '"", "7"', ', , "7",', '"a b"', "bytes=0-0,-1", '"k"', "k" * 256),
)
LATIN_1 = [chr(code) for code in range(1, 256) if chr(code) not in "\r\n"]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ODD_METHODS = (
    "get",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "FOO!#$",
    "_",
    "dispatch",
    "options",
    "http_method_not_allowed",
    "X" * 999,
)
QUERIES = (
    "",
    "",
    "",
    "?%20",
    "?%ff=%fe",
    "?a=%ed%a0%80",
    "?x=\xff",
    "?=&&==;",
    "?%00=%00",
    "?limit=%20",
    "?cursor=%20%ff",
)
ODD_TARGETS = (
    *(
        "*",
        "",
        "//",
        "//evil.example/",
        "/x://" + ":" * 4_000,
        "/%00",
        "/%ff",
        "/%ed%a0%80",
        "/%f0%9f",
        "/\xff",
        "/..%2f..%2f",
    ),
    *(
        "/static/%00",
        "/static/..%2f..%2fpyproject.toml",
        "/static/admin/css/base.css%00",
        "/admin/%ff",
        "/problems/%2e",
    ),
    *(
        "/api/v1/products/%EF%BC%97",
        "/fakeapi/v1/posts/%D9%A7/",
        "/api/v1/history/posts.post/%EF%BC%97/",
        "/admin/login/",
    ),
)
BODIES = (
    b"",
    b"{}",
    b"[]",
    b"\xff",
    b'{"a": "\\ud800"}',
    b"a=%ff&b=%00",
    b"--x\r\n\r\n--x--\r\n",
    b"null",
    b"1" * 4_000,
)


@pytest.fixture
def operations(fixtures: SchemaFixtures) -> list[tuple[str, str]]:
    """Method and target of every operation, with objects that there are."""
    paths = description()["paths"]
    return [(method.upper(), fixtures.target(path)) for path, item in paths.items() for method in item]


@dataclass(frozen=True)
class Fuzzer:
    """Makes requests that are nearly valid: mostly of an operation, by a signed-in user."""

    operations: list[tuple[str, str]]
    token: str

    def request(self, number: int) -> Sent:
        """The request of this number: always the same."""
        chance = Random(number)
        method, target = chance.choice(self.operations)
        if chance.random() < 0.2:
            method = chance.choice(METHODS + ODD_METHODS)
        if chance.random() < 0.1:
            target = chance.choice(ODD_TARGETS)
        usual = chance.choice([{**JSON, "Authorization": f"Bearer {self.token}"}] * 4 + [JSON, {}])
        odd = {chance.choice(NAMES): value(chance) for _ in range(chance.randrange(5))}
        return Sent(method, target + chance.choice(QUERIES), {**usual, **odd}, chance.choice(BODIES))


def value(chance: Random) -> str:
    """Of a header: one of those that are known for trouble, some pieces of such, or any letters of Latin-1."""
    kind = chance.random()
    if kind < 0.3:
        return chance.choice(WHOLE)
    if kind < 0.8:
        return "".join(chance.choice(PIECES) for _ in range(chance.randrange(6)))
    return "".join(chance.choice(LATIN_1) for _ in range(chance.randrange(30)))


def fuzz(fuzzer: Fuzzer, numbers: Iterable[int]) -> None:
    server = Server()
    for number in numbers:
        server.try_out(fuzzer.request(number))
    server.tally.report()


@pytest.mark.slow
def test_no_header_is_a_500(operations: list[tuple[str, str]], fixtures: SchemaFixtures):
    fuzz(Fuzzer(operations, fixtures.token), range(SHORT_CASES))


@pytest.mark.faults
@pytest.mark.timeout(7_200)
def test_no_header_is_a_500_at_length(operations: list[tuple[str, str]], fixtures: SchemaFixtures):
    fuzz(Fuzzer(operations, fixtures.token), range(SEED, SEED + CASES))


LETTERS = ("a", "0", " ", ",", ";", "=", '"', "\\", "/", ":", ".", "a,", 'W/"a"', "a=b;", "\xe9")


@pytest.mark.slow
def test_as_much_of_a_letter_as_a_header_may_have_costs_little(fixtures: SchemaFixtures):
    server = Server()
    for part, name in product(LETTERS, NAMES):
        text = (part * MAX_HEADER)[:MAX_HEADER]
        server.try_out(Sent("GET", "/api/v1/users/me/", {"Authorization": f"Bearer {fixtures.token}", name: text}))
