"""How a web process ends: /readyz first, then its streams, then the server's own end."""

import asyncio
import errno
import select
import signal
import socket
import sys
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from lockstep.rest.server.application import Application
from lockstep.rest.server.sockets import connections_unread, refuse_connections
from lockstep.rest.server.stopping import Stopping
from lockstep.rest.server.tests.test_application import respond, says_its_thread


@pytest.fixture
def raised(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that the process would have raised at itself."""
    signals: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", signals.append)
    return signals


def test_a_draining_server_is_not_ready_and_serves_until_the_drain_ends(settings: Any, raised: list[int]):
    settings.LOCKSTEP = settings.LOCKSTEP | {"SERVER_DRAIN_SECONDS": 3600}

    async def run() -> None:
        application = Application(says_its_thread)
        assert (await respond(application, raw_path=b"/readyz"))[0] == 200
        application._stopping.begin()
        status, _, body = await respond(application, raw_path=b"/readyz")
        assert (status, set(orjson.loads(body).values())) == (503, {"the server is stopping"})
        assert (await respond(application))[0] == 200
        assert (await respond(application, raw_path=b"/healthz"))[0] == 200

    asyncio.run(run())
    assert raised == []


def test_the_server_ends_once_after_the_drain(raised: list[int]):
    async def run() -> None:
        stopping = Stopping(0.0)
        stopping.begin()
        ended = stopping._end
        stopping.begin()
        assert ended is not None
        assert stopping._end is ended
        await ended

    asyncio.run(run())
    assert raised == [signal.SIGINT]


def test_all_streams_are_notified_of_the_stop(raised: list[int]):
    class Stream(SimpleNamespace):
        __hash__ = object.__hash__

    async def run() -> tuple[bool, bool]:
        stopping, before, after = Stopping(3600.0), Stream(ending=False), Stream(ending=False)
        stopping.add(before)
        assert before.ending is False
        stopping.begin()
        stopping.add(after)
        return before.ending, after.ending

    assert asyncio.run(run()) == (True, True)


def test_sigterm_begins_the_shutdown(raised: list[int], monkeypatch: pytest.MonkeyPatch):
    async def run() -> bool:
        stopping = Stopping(3600.0)
        stopping.listen()
        handlers = asyncio.get_running_loop()._signal_handlers  # type: ignore[attr-defined]
        handlers[signal.SIGTERM]._run()
        return stopping.has_begun

    assert asyncio.run(run())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's own")
def test_pending_connections_are_accepted_and_later_ones_refused():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        with socket.create_connection(address) as early, socket.socket() as late:
            assert connections_unread(address[1]) == 1
            assert refuse_connections(address[1]) >= 1
            late.setblocking(False)
            assert late.connect_ex(address) == errno.EINPROGRESS
            accepted, _ = listening.accept()
            with accepted:
                assert connections_unread(address[1]) == 1, "nothing has come on it"
                early.sendall(b"request")
                assert select.select([accepted], [], [], 60)[0] == [accepted]
                assert connections_unread(address[1]) == 1, "what came is not read"
                assert accepted.recv(7) == b"request"
                assert connections_unread(address[1]) == 0
                listening.close()
                accepted.sendall(b"response")
                assert early.recv(8) == b"response"
            assert select.select([], [late], [], 60)[1] == [late]
            assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
