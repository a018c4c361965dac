"""Slots for concurrent requests, and waits for remote systems, which release slot and connection."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest
from django.db import connection, transaction

from lockstep.rest.server.slots import Slots, TooManyRemoteWaits, remote_wait

WAIT = 30.0


@pytest.fixture
def slots() -> Slots:
    return Slots("test", 1)


def outcome(slots: Slots, work: Callable[[], Any]) -> Any:
    """The result of this work in a slot."""
    results: SimpleQueue[Any] = SimpleQueue()
    slots.submit(lambda: results.put(work()))
    return results.get(timeout=WAIT)


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def close_connection() -> None:
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_wait_lends_the_slot_and_the_connection_and_has_both_back(slots: Slots):
    entered, leave = threading.Event(), threading.Event()
    backends: SimpleQueue[tuple[int, int]] = SimpleQueue()

    def waits() -> None:
        before = backend()
        with remote_wait("gateway"):
            entered.set()
            leave.wait(WAIT)
        backends.put((before, backend()))

    slots.submit(waits)
    assert entered.wait(WAIT)
    meanwhile = outcome(slots, backend)
    leave.set()
    assert backends.get(timeout=WAIT) == (meanwhile, meanwhile)
    assert outcome(slots, backend) == meanwhile
    outcome(slots, close_connection)


@pytest.mark.django_db(transaction=True)
def test_after_waits_there_are_as_many_slots_as_before(slots: Slots):
    def waits() -> None:
        with remote_wait("gateway"):
            pass

    before = threading.active_count()
    for _ in range(5):
        outcome(slots, waits)
    assert outcome(slots, threading.active_count) <= before + 1
    free, held = threading.Event(), threading.Event()
    slots.submit(lambda: (held.set(), free.wait(WAIT)))
    assert held.wait(WAIT)
    slots.submit(lambda: None)
    assert slots.waiting == 1
    free.set()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_waits_for_no_remote_system(slots: Slots):
    def waits() -> str:
        try:
            with transaction.atomic(), remote_wait("gateway"):
                return "it waited"
        except RuntimeError as error:
            return str(error)
        finally:
            connection.close()

    assert outcome(slots, waits) == "A transaction must not wait for a remote system."


def test_waits_are_limited_together_and_for_each_user(settings: Any):
    settings.LOCKSTEP = settings.LOCKSTEP | {"SERVER_REMOTE_WAITS": 2, "SERVER_REMOTE_WAITS_PER_USER": 1}
    with remote_wait("gateway", "a"):
        with pytest.raises(TooManyRemoteWaits), remote_wait("gateway", "a"):
            pass
        with remote_wait("gateway", "b"):
            with pytest.raises(TooManyRemoteWaits), remote_wait("gateway", "c"):
                pass
            with remote_wait("another remote", "c"):
                pass
    with remote_wait("gateway", "a"):
        pass
