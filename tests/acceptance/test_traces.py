"""One trace from a request over its change to the receiver, from web server and worker as they really run."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from conftest import database_url
from lockstep.webhooks.tests.receiver import Receiver, receiving
from tests.acceptance.running import ROOT, free_port
from tests.strangers.serving import WAIT_SECONDS, Server, serving
from tests.support import Cast, any_lock_waiter, database_address, eventually
from tests.traces import Collector, collecting, parts

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
POSTS = "/fakeapi/v1/posts/create/"
BAD = ["", "00-" + "0" * 32 + f"-{SPAN}-01", f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01", "x" * 9_000, "\xff\xfe"]


@contextmanager
def working(folder: Path, **environment: str) -> Iterator["tuple[subprocess.Popen[bytes], Path]"]:
    """A worker on the test database, until the end of the block; and its log."""
    log = folder / "worker.log"
    own = {"DATABASE_URL": database_address(), "DEBUG": "true", **environment}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "backend", "worker"],
            cwd=ROOT,
            env={**os.environ, **own},
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            eventually(lambda: process.poll() is not None or b"worker ready" in log.read_bytes(), "the worker")
            assert process.poll() is None, log.read_text()
            yield process, log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(WAIT_SECONDS)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def settings(endpoint: str, receiver: Receiver) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        "POSTS_PROVIDER_URL": receiver.url.removesuffix("/hook"),
        "COUNTER_URL": "",
    }


@contextmanager
def signed_in(server: Server, receiver: Receiver) -> Iterator[httpx.Client]:
    """A client of the owner, whose webhook follows posts."""
    token = Cast.make().owner.client.defaults["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
    with server.client(token) as client:
        made = client.post("/api/v1/webhooks/", json={"url": receiver.url, "events": ["posts.post.*"]})
        assert made.status_code == 201, made.text
        yield client


def create(client: httpx.Client, traceparent: str | bytes = f"00-{TRACE}-{SPAN}-01") -> None:
    headers = {"traceparent": traceparent if isinstance(traceparent, bytes) else traceparent.encode("latin-1")}
    made = client.post(POSTS, json={"title": "t", "body": "b"}, headers=headers)
    assert made.status_code == 201, made.text


def logged(database: psycopg.Connection) -> list[str]:
    """What the log has of the posts' changes."""
    rows = database.execute(
        "SELECT traceparent FROM lockstep_change WHERE model = 'posts.post' ORDER BY seq"
    ).fetchall()
    return [traceparent for (traceparent,) in rows]


def hooks(receiver: Receiver) -> list[str]:
    """What came to the webhook: its traceparent, "" for none."""
    return [each.headers.get("traceparent", "") for each in receiver.requests if "webhook-id" in each.headers]


def test_one_trace_leads_from_a_request_over_its_change_to_the_receiver(
    database: psycopg.Connection, tmp_path: Path, receiver: Receiver, collector: Collector
):
    own = settings(collector.url, receiver)
    with serving(tmp_path, **own) as server, working(tmp_path, **own), signed_in(server, receiver) as client:
        create(client)
        [traceparent] = logged(database)
        trace, request = parts(traceparent)
        assert trace == TRACE
        [told] = eventually(lambda: hooks(receiver), "the webhook")
        assert parts(told)[0] == TRACE
        delivery = eventually(lambda: collector.span(parts(told)[1]), "the span of the delivery")
        served = eventually(lambda: collector.span(request), "the span of the request")
        to_provider = eventually(
            lambda: [each for each in receiver.requests if "webhook-id" not in each.headers], "the provider"
        )
        pushed = eventually(lambda: collector.span(parts(to_provider[0].headers["traceparent"])[1]), "its span")
    assert (served.service, served.kind, served.parent) == ("lockstep-web", "server", SPAN)
    assert (delivery.service, delivery.kind, delivery.parent) == ("lockstep-worker", "client", request)
    assert (pushed.name, pushed.parent) == ("deliver jsonplaceholder-mirror", request)
    assert {served.trace_id, delivery.trace_id, pushed.trace_id} == {TRACE}


def test_web_server_and_worker_send_their_spans_before_they_end(
    database: psycopg.Connection, tmp_path: Path, receiver: Receiver, collector: Collector
):
    own = settings(collector.url, receiver) | {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    with serving(tmp_path, **own) as server, working(tmp_path, **own), signed_in(server, receiver) as client:
        create(client)
        [told] = eventually(lambda: hooks(receiver), "the webhook")
    assert collector.span(parts(told)[1])
    assert any(span.kind == "server" and span.trace_id == TRACE for span in collector.spans)


def test_the_span_of_the_last_request_of_a_server_that_ends_is_sent(
    database: psycopg.Connection, tmp_path: Path, receiver: Receiver, collector: Collector
):
    own = settings(collector.url, receiver) | {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    with serving(tmp_path, **own) as server, signed_in(server, receiver) as client, ThreadPoolExecutor() as threads:
        create(client)
        number = database.execute("SELECT number FROM posts_post").fetchone()[0]
        with psycopg.connect(database_url()) as another:
            another.execute("SELECT FROM posts_post FOR UPDATE")
            last = threads.submit(client.put, f"/fakeapi/v1/posts/update/{number}/", json={"title": "a", "body": "b"})
            eventually(lambda: any_lock_waiter(database), "the request to wait")
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: refuses(server.port), "the server to end")
        assert last.result().status_code == 200
        eventually(lambda: server.process.poll() is not None, "the server to have ended")
    assert [span.name for span in collector.spans if span.facts.get("http.request.method") == "PUT"] == [
        "PUT /fakeapi/v1/posts/update/<number>/"
    ]


def refuses(port: int) -> bool:
    """Whether nothing listens there any more."""
    try:
        socket.create_connection(("127.0.0.1", port), WAIT_SECONDS).close()
    except OSError:
        return True
    return False


def test_bad_headers_fail_no_request_and_never_reach_the_log(
    database: psycopg.Connection, tmp_path: Path, receiver: Receiver, collector: Collector
):
    with serving(tmp_path, **settings(collector.url, receiver)) as server, signed_in(server, receiver) as client:
        for header in BAD:
            create(client, header)
    assert len({parts(traceparent)[0] for traceparent in logged(database)} - {TRACE}) == len(BAD)


@pytest.mark.parametrize("collector", ["silent", "absent"])
def test_without_the_collector_processes_work_and_end_in_time(
    database: psycopg.Connection, tmp_path: Path, receiver: Receiver, collector: str
):
    with socket.create_server(("127.0.0.1", port := free_port())) as listening:
        if collector == "absent":
            listening.close()
        own = settings(f"http://127.0.0.1:{port}", receiver)
        with (
            serving(tmp_path, **own) as server,
            working(tmp_path, **own) as (worker, log),
            signed_in(server, receiver) as client,
        ):
            for _ in range(10):
                create(client)
            eventually(lambda: len(hooks(receiver)) == 10, "the webhooks")
    for end, text in ((server.process, server.log.read_text()), (worker, log.read_text())):
        assert end.returncode == 0, text
        # It was said by the process itself, which came to its end: it was not killed.
        assert text.count("the last spans are lost") == 1, text
        assert "Traceback" not in text
        assert text.count("Transient error") <= 1
        assert text.count("Failed to export") <= 1


@pytest.fixture
def without_extra(tmp_path: Path) -> dict[str, str]:
    """An environment in which OpenTelemetry is not installed."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'opentelemetry':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    return {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
        "PORT": str(free_port()),
        "WEB_PROCESSES": "1",
    }


@pytest.mark.parametrize("words", [["web"], ["worker"], ["lockstep", "status"]], ids=" ".join)
def test_without_the_extra_every_process_names_it_and_exits(without_extra: dict[str, str], words: list[str]):
    command = [sys.executable, "-m", "backend", *words]
    ran = subprocess.run(command, cwd=ROOT, env=without_extra, capture_output=True, text=True, timeout=WAIT_SECONDS)
    assert ran.returncode != 0
    said = (ran.stderr + ran.stdout).splitlines()
    if words == ["web"]:  # whose parent tries again
        said = sorted({line for line in said if not line.startswith("[ERROR] ")})
    assert said == [
        "Lockstep cannot start: OTEL_EXPORTER_OTLP_ENDPOINT is set and OpenTelemetry is not installed: "
        "install the extra `tracing` (`uv sync --extra tracing`), or unset it."
    ]
