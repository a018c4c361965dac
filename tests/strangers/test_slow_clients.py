"""Clients that keep the server waiting: with a body, with headers, with a response that they do not read."""

import select
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import psycopg
import pytest
from django.db import connection

from backend.accounts.sessions import open_opaque
from backend.shop.models import Order, Product
from backend.shop.orders.actions import Line, place_order
from lockstep.delivery.tests.support import begin_epoch
from tests.strangers.serving import (
    WAIT_SECONDS,
    Server,
    half_a_body,
    is_closed,
    problem_on,
    reset,
    response_on,
    serving,
)
from tests.support import Cast, Person, any_lock_waiter, eventually

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

HELD = 150  # connections of each kind; the server works on one request at once
PROBES = ("/healthz", "/readyz", "/metrics")
PATIENT = {"WEB_REQUESTS": 1, "REQUEST_BODY_SECONDS": 300, "STREAM_STALL_SECONDS": 300}
STRICT = {"WEB_REQUESTS": 1, "REQUEST_BODY_SECONDS": 0.5, "STREAM_STALL_SECONDS": 1}
STREAM = "/api/v1/changes/"
CARD = {"payment": {"card_number": "4242424242424242", "expiry": "12/40", "cvc": "123"}}


class Gateway(BaseHTTPRequestHandler):
    """A gateway that issues tokens once it is released."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.server.answer.wait()  # type: ignore[attr-defined]
        body = b'{"token": "tok_abc"}'
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[Any]:
    """A payment gateway that keeps silent until `answer` is set."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    server.asked, server.answer, server.daemon_threads = [], Event(), True
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.answer.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def patient(django_db_setup: None, gateway: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that works on one request at once, and waits for clients as long as they like."""
    address = f"http://127.0.0.1:{gateway.server_port}"
    with serving(tmp_path_factory.mktemp("patient"), PAYMENTS_URL=address, FEED_STREAMS=1, **PATIENT) as server:
        yield server


@pytest.fixture(scope="module")
def strict(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that works on one request at once, and waits for no client."""
    with serving(tmp_path_factory.mktemp("strict"), FEED_STREAMS=2, **STRICT) as server:
        yield server


@pytest.fixture
def owner(transactional_db: None) -> Person:
    return Person.make("owner")


def token_of(person: Person) -> str:
    return str(open_opaque(person.user))


def assert_serves(server: Server, token: str) -> None:
    """A well-behaved client has its answers: reads, writes and probes."""
    with server.client(token) as client:
        assert client.get("/api/v1/products/").status_code == 200
        made = client.post("/api/v1/products/", json={"name": "thing", "description": "d", "price": "1.00", "stock": 1})
        assert made.status_code == 201, made.text
        for path in PROBES:
            assert client.get(path).status_code in (200, 503), path


def test_half_requests_by_the_hundred_delay_no_other_client(owner: Person, patient: Server):
    server = patient
    with ExitStack() as stack:
        held = [stack.enter_context(half_a_body(server)) for _ in range(HELD)]
        held += [stack.enter_context(server.send("GET /api/v1/products/ HTTP/1.1\nHost: loc")) for _ in range(HELD)]
        held += [stack.enter_context(server.send("")) for _ in range(HELD)]
        assert_serves(server, token_of(owner))
        assert select.select(held, [], [], 0)[0] == [], "an unfinished request was answered"
        held[0].sendall(b'ername": "owner", "password": "wrong"}'.ljust(96))
        assert response_on(held[0])[0].status == 401, "its request was not carried out once it was there"


def test_a_body_that_does_not_arrive_is_408(owner: Person, strict: Server):
    with half_a_body(strict) as held:
        assert problem_on(held, 408)["type"] == "/problems/request-timeout"
    with half_a_body(strict, length=100_000) as held, pytest.raises(OSError):
        while True:
            held.sendall(b" ")
            select.select([], [], [], 0.01)
    assert_serves(strict, token_of(owner))


def test_a_body_that_is_too_large_is_refused_before_it_is_read(patient: Server):
    with half_a_body(patient, length=2_000_000) as held:
        assert problem_on(held, 413)["detail"] == "The body is larger than 1,048,576 bytes."
    with patient.send("POST /auth/ HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\n\n", b"4\r\n") as held:
        assert problem_on(held, 411)["type"] == "/problems/length-required"


def test_a_client_that_leaves_costs_nothing_more(owner: Person, patient: Server):
    logged = patient.log.read_text()
    for _ in range(HELD):
        reset(half_a_body(patient))
    assert_serves(patient, token_of(owner))
    assert patient.log.read_text() == logged, "a client that leaves is no error of ours"


# --- Streams --------------------------------------------------------------------------------------------
def stream(server: Server, token: str, method: str = "GET") -> socket.socket:
    return server.send(
        f"{method} {STREAM} HTTP/1.1\nHost: localhost\nAuthorization: Bearer {token}\nAccept: text/event-stream\n\n"
    )


def status_of(held: socket.socket) -> int:
    """The status that came, with nothing more read than its line."""
    line = b""
    while not line.endswith(b"\n"):
        line += held.recv(1)
    return int(line.split()[1])


def feed_connections(database: psycopg.Connection) -> int:
    row = database.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lockstep-feed'"
        " AND datname = current_database()"
    ).fetchone()
    assert row
    return int(row[0])


def write_much(database: psycopg.Connection) -> None:
    """More than the buffers between the server and a client hold."""
    database.execute(
        "INSERT INTO posts_post (id, created, updated, title, body) SELECT gen_random_uuid(), now(), now(),"
        " 'much', repeat('x', 9000) FROM generate_series(1, 3000)"
    )


def test_a_stream_that_is_not_read_releases_its_slot_and_connection(strict: Server, database: psycopg.Connection):
    begin_epoch(database)
    token, server = token_of(Person.make("staff", staff=True)), strict
    with ExitStack() as stack:
        held = [stack.enter_context(stream(server, token)) for _ in range(3)]
        assert sorted(map(status_of, held)) == [200, 200, 503]
        assert feed_connections(database) == 2
        write_much(database)
        assert_serves(server, token)
        eventually(lambda: feed_connections(database) == 0, "the streams to end")
        with stream(server, token) as next_one:
            assert status_of(next_one) == 200


def test_a_stream_whose_client_leaves_ends(patient: Server, database: psycopg.Connection):
    begin_epoch(database)
    token = token_of(Person.make("staff", staff=True))
    for _ in range(3):
        with stream(patient, token) as held:
            assert status_of(held) == 200
        eventually(lambda: feed_connections(database) == 0, "the stream to end")


def test_head_of_a_stream_takes_no_slot(patient: Server, database: psycopg.Connection):
    begin_epoch(database)
    token, server = token_of(Person.make("staff", staff=True)), patient
    with ExitStack() as stack:
        for _ in range(5):
            response, body = response_on(stack.enter_context(stream(server, token, "HEAD")))
            assert (response.status, response.headers["Content-Type"], body) == (200, "text/event-stream", b"")
        assert feed_connections(database) == 0
        assert status_of(stack.enter_context(stream(server, token))) == 200


# --- What a request waits for ---------------------------------------------------------------------------
def order_of(person: Person, product: Product) -> str:
    number = place_order(actor="", buyer=person.user, lines=[Line(product.pk, 1)]).number
    return str(Order.objects.get(number=number).pk)


def test_a_confirmation_that_waits_delays_no_other_client_and_is_limited(
    cast: Cast, patient: Server, gateway: Any, database: psycopg.Connection
):
    product = Product.objects.create(owner=cast.staff.user, name="thing", description="", price="1", stock=9)
    tokens = {person: token_of(person) for person in (cast.owner, cast.outsider)}
    first, second, third = ((cast.owner, order_of(cast.owner, product)) for _ in range(3))
    foreign = (cast.outsider, order_of(cast.outsider, product))
    responses: dict[str, httpx.Response] = {}

    def confirm(person: Person, order: str) -> None:
        with patient.client(tokens[person]) as client:
            responses[order] = client.post(f"/api/v1/orders/{order}/confirm/", json=CARD)

    assert_serves(patient, tokens[cast.owner])
    before = web_connections(database)
    threads = [Thread(target=confirm, args=one) for one in (first, second, foreign)]
    for count, thread in enumerate(threads, 1):
        thread.start()
        eventually(lambda count=count: len(gateway.asked) == count, "the gateway to be asked")
    confirm(*third)
    refused = responses.pop(third[1])
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert_serves(patient, tokens[cast.owner])
    # A connection that was closed may be listed for a moment longer.
    eventually(lambda: web_connections(database) <= before, "requests that wait to hold no connection")
    assert responses == {}, "the gateway has not answered"
    gateway.answer.set()
    for thread in threads:
        thread.join()
    assert [response.json()["state"] for response in responses.values()] == ["CONFIRMED"] * 3
    assert_serves(patient, tokens[cast.owner])


def web_connections(database: psycopg.Connection) -> int:
    row = database.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lockstep-web'"
        " AND datname = current_database() AND pid <> ALL (%s)",
        [_own_backends(database)],
    ).fetchone()
    assert row
    return int(row[0])


def _own_backends(database: psycopg.Connection) -> list[int]:
    """This test's, which have the same name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return [cursor.fetchone()[0], database.info.backend_pid]


# --- Probes ---------------------------------------------------------------------------------------------
def test_probes_wait_for_no_request_and_not_for_a_database_that_hangs(
    owner: Person, patient: Server, database: psycopg.Connection
):
    with patient.client(token_of(owner)) as client, patient.client() as probes:
        assert probes.get("/readyz").json()["database"] == "ok"
        with database.transaction():
            database.execute("LOCK TABLE shop_product, django_migrations, lockstep_lane IN ACCESS EXCLUSIVE MODE")
            waiting = [Thread(target=client.get, args=("/api/v1/products/",)) for _ in range(3)]
            for thread in waiting:
                thread.start()
            assert probes.get("/healthz").status_code == 200
            for _ in range(3):
                late = probes.get("/readyz")
                assert (late.status_code, late.json()["database"]) == (503, "does not answer")
            assert probes.get("/metrics").status_code in (200, 503)
            assert probes.get("/healthz").status_code == 200
            assert all(thread.is_alive() for thread in waiting)
        for thread in waiting:
            thread.join()
        eventually(lambda: probes.get("/readyz").json()["database"] == "ok", "readiness to be back")


def test_probes_answer_plain_http_for_any_host_as_in_production(tmp_path: Path, transactional_db: None):
    (tmp_path / "staticfiles.json").touch()
    production = {"DEBUG": "false", "ALLOWED_HOSTS": "shop.example", "METRICS_TOKEN": "figures", "SECRET_KEY": "s" * 60}
    production |= {"STATIC_ROOT": tmp_path, "TRUSTED_PROXIES": "10.0.0.0/8"}
    with serving(tmp_path, **production | PATIENT) as server:
        for path in (*PROBES, *(f"{probe}/" for probe in PROBES)):
            for host in ("shop.example", "10.0.0.7:8000", "evil.example"):
                headers = {"Host": host, "Authorization": "Bearer figures"}
                response = httpx.get(f"{server.url}{path}", headers=headers, trust_env=False, timeout=60)
                assert response.status_code == 200, (path, host, response.text)
        assert httpx.get(f"{server.url}/problems/", headers={"Host": "shop.example"}).status_code == 301


def test_a_server_ends_at_sigterm_while_clients_hold_connections(tmp_path: Path, transactional_db: None):
    with serving(tmp_path, **PATIENT) as server:
        held = [half_a_body(server) for _ in range(20)]
    assert server.process.returncode is not None
    assert all(map(is_closed, held))
    for one in held:
        one.close()


def test_a_server_at_sigterm_finishes_requests_and_ends_streams(
    cast: Cast, tmp_path: Path, database: psycopg.Connection
):
    begin_epoch(database)
    staff, owner = token_of(cast.staff), token_of(cast.owner)
    answers: list[int] = []
    with serving(tmp_path, **PATIENT) as server, stream(server, staff) as held:
        response = HTTPResponse(held)
        response.begin()
        with database.transaction():
            database.execute("LOCK TABLE shop_product IN ACCESS EXCLUSIVE MODE")
            request = Thread(target=lambda: answers.append(server.client(owner).get("/api/v1/products/").status_code))
            request.start()
            eventually(lambda: any_lock_waiter(database), "the request to be under way")
            server.process.send_signal(signal.SIGTERM)
            assert response.read().startswith(b"retry: ")  # to its end, or it raises IncompleteRead
            assert answers == []
        request.join()
        assert answers == [200]
        assert server.process.wait(WAIT_SECONDS) == 0
