"""A worker's own probes: whether its loop turns, whether its parts move, whether it delivers."""

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.delivery import probes
from lockstep.delivery.probes import STILL, Probes
from lockstep.delivery.worker import Worker


def worker(complaint: str = "", waits_for: str = "") -> Any:
    return SimpleNamespace(complaint=complaint, waits_for=waits_for, heartbeat=SimpleNamespace(clock_offset=-3_600.5))


@contextmanager
def answering(of_worker: Any, turn_seconds: float = 30.0) -> Iterator[tuple[str, asyncio.AbstractEventLoop]]:
    """The address of its probes, and its event loop, which turns in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = probes.serve(Probes(of_worker, loop, turn_seconds), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", loop
    finally:
        server.shutdown()
        server.server_close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def asked(address: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(address, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def state(address: str) -> tuple[int, str]:
    status, text = asked(address)
    return status, json.loads(text)["status"]


def test_a_worker_that_delivers_is_alive_and_ready_and_shows_its_figures():
    with answering(worker()) as (address, _):
        assert state(f"{address}/healthz") == state(f"{address}/healthz/") == (200, "ok")
        assert state(f"{address}/readyz") == (200, "ok")
        status, figures = asked(f"{address}/metrics")
        assert status == 200
        assert "lockstep_delivery_attempts_total" in figures
        assert "lockstep_clock_offset_seconds -3600.5" in figures
        assert asked(f"{address}/healthz", "HEAD") == (200, "")
        assert asked(f"{address}/elsewhere")[0] == 404


def test_a_worker_that_waits_for_its_database_is_alive_and_not_ready():
    with answering(worker(waits_for="the database is waited for")) as (address, _):
        assert state(f"{address}/healthz") == (200, "ok")
        assert state(f"{address}/readyz") == (503, "the database is waited for")


def test_a_worker_with_a_part_that_hangs_is_neither_alive_nor_ready():
    with answering(worker(complaint="the relay has not moved for 12 s")) as (address, _):
        assert state(f"{address}/healthz") == (503, "the relay has not moved for 12 s")
        assert state(f"{address}/readyz") == (503, "the relay has not moved for 12 s")


def test_a_stalled_event_loop_fails_healthz_and_metrics_are_served():
    free = threading.Event()
    with answering(worker(), turn_seconds=0.05) as (address, loop):
        loop.call_soon_threadsafe(free.wait)
        try:
            assert state(f"{address}/healthz") == (503, STILL)
            assert asked(f"{address}/metrics")[0] == 200
        finally:
            free.set()


@pytest.mark.parametrize("is_awaited", [True, False])
def test_a_worker_reports_stalled_parts_except_while_its_database_is_down(is_awaited: bool):
    hanging = Worker(())
    hanging._epochs = object()  # type: ignore[assignment]
    hanging.heartbeat._clock = lambda: 10**9
    hanging.availability._waiting = int(is_awaited)
    assert bool(hanging.complaint) is not is_awaited
    assert hanging.waits_for == ("the database is waited for" if is_awaited else "")


def test_a_worker_that_starts_is_alive_and_not_ready():
    starting = Worker(())
    assert (starting.complaint, starting.waits_for) == ("", "it is starting")
