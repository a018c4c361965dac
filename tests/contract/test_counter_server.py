"""The counter in deno that stands in examples/, and the stand-in, under the same tests."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from standardwebhooks import Webhook

from devstack.sandbox.counter import StandIn
from tests.acceptance.running import ROOT, free_port
from tests.contract.providers import deno
from tests.support import eventually

SECRET = "whsec_bG9ja3N0ZXAsIGluIGRldmVsb3BtZW50"
CREATE, DELETE = {"user": 1, "action": "create"}, {"user": 1, "action": "delete"}


@contextmanager
def counting_in_deno(folder: Path) -> Iterator[str]:
    """The example as its first lines say it is started; its address."""
    port = free_port()
    command = [deno(), "run", "--allow-net", "--allow-env", "--allow-read", "--allow-write", "counter_server.js"]
    surroundings = {**os.environ, "PORT": str(port), "COUNTER_FILE": str(folder / "counter.sqlite3")}
    with (
        (folder / "deno.log").open("a") as log,
        subprocess.Popen(
            command, cwd=ROOT / "examples", env=surroundings, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        url = f"http://127.0.0.1:{port}/"
        try:
            eventually(lambda: answers(url) or process.poll() is not None, "the counter to answer")
            assert process.poll() is None, (folder / "deno.log").read_text()
            yield url
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def counting_in_stand_in(folder: Path) -> Iterator[str]:
    with StandIn(folder=folder) as counter:
        yield counter.url


STARTS = [
    pytest.param(counting_in_stand_in, id="stand-in"),
    pytest.param(counting_in_deno, id="deno", marks=pytest.mark.needs("deno")),
]


def send(url: str, message: object, message_id: str, sent: datetime | None = None, secret: str = SECRET):
    body = json.dumps(message)
    moment = sent or datetime.now(UTC)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": f"v1,bm90IGl0 {Webhook(secret).sign(message_id, moment, body)}",
    }
    return httpx.post(url, content=body, headers=headers, trust_env=False)


def shown(url: str) -> dict:
    return httpx.get(url, trust_env=False).json()


@pytest.mark.parametrize("start", STARTS)
def test_each_message_counts_once_over_restarts_too(start, tmp_path: Path):
    with start(tmp_path) as url:
        assert shown(url) == {"users": {}, "messages": 0, "repeats": 0}
        assert send(url, CREATE, "a").json() == {"counted": True}
        assert send(url, CREATE, "a").json() == {"counted": False}
        assert send(url, CREATE, "b").json() == {"counted": True}
        assert send(url, DELETE, "c").json() == {"counted": True}
        assert send(url, {**CREATE, "user": 2}, "d").json() == {"counted": True}
    with start(tmp_path) as url:
        assert send(url, CREATE, "b").json() == {"counted": False}
        users = {"1": {"create": 2, "delete": 1}, "2": {"create": 1, "delete": 0}}
        assert shown(url) == {"users": users, "messages": 4, "repeats": 2}


@pytest.mark.parametrize("start", STARTS)
def test_invalid_messages_are_not_counted(start, tmp_path: Path):
    with start(tmp_path) as url:
        for n, message in enumerate([None, [], "x", {"user": "1", "action": "create"}, {**CREATE, "action": "update"}]):
            assert send(url, message, str(n)).status_code == 422
        assert httpx.get(f"{url.rstrip('/')}/elsewhere", trust_env=False).status_code == 404
        assert shown(url)["messages"] == 0


@pytest.mark.needs("deno")
def test_the_deno_receiver_accepts_signed_messages_only(tmp_path: Path):
    other = "whsec_" + "A" * 32
    with counting_in_deno(tmp_path) as url:
        assert send(url, CREATE, "a", secret=other).status_code == 401
        assert send(url, CREATE, "a", sent=datetime.now(UTC) - timedelta(hours=1)).status_code == 401
        assert httpx.post(url, json=CREATE, headers={"webhook-id": "a"}, trust_env=False).status_code == 401
        assert shown(url)["messages"] == 0
        assert send(url, CREATE, "a").status_code == 200


def test_the_secret_of_development_is_the_examples():
    assert settings.COUNTER_SECRET == SECRET
    assert SECRET in (ROOT / "examples" / "counter_server.js").read_text()
