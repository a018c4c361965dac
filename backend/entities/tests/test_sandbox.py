"""`manage.py sandbox`: a stand-in fails as it is asked to, keeps the fault itself, and nothing else is asked."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from threading import Thread
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command

from backend.entities.stand_ins import SETTINGS
from devstack.launcher.run import STAND_INS
from devstack.sandbox.counter import StandIn as Counter
from devstack.sandbox.jsonplaceholder import StandIn
from lockstep.http.client import trusted
from tests.support import eventually

GONE = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture(autouse=True)
def development(settings: Any) -> None:
    settings.DEBUG = True
    settings.POSTS_PROVIDER_URL = settings.PAYMENTS_URL = settings.MOVIES_PROVIDER_URL = GONE
    settings.COUNTER_URL = ""


@pytest.fixture
def provider(settings: Any) -> Iterator[StandIn]:
    with StandIn(posts=2, comments_per_post=1) as server:
        settings.POSTS_PROVIDER_URL = f"{server.url}/"
        yield server


@pytest.fixture
def counter(settings: Any) -> Iterator[Counter]:
    with Counter() as server:
        settings.COUNTER_URL = server.url
        yield server


def sandbox(*words: str) -> str:
    out = StringIO()
    call_command("sandbox", *words, stdout=out)
    return out.getvalue()


def get(url: str) -> int:
    return httpx.get(url, trust_env=False, verify=trusted()).status_code


def test_names_are_those_of_make_run():
    assert {name: variable for name, variable, _ in STAND_INS} == SETTINGS


def test_a_fault_lasts_until_it_is_mended(provider: StandIn):
    assert sandbox("fault", "provider", "--status", "503") == "The stand-in provider answers 503.\n"
    assert get(f"{provider.url}/posts") == 503
    assert sandbox("mend", "provider") == "1 fault of the stand-in provider ended.\n"
    assert get(f"{provider.url}/posts") == 200
    assert sandbox("mend", "provider") == "There was no fault.\n"


def test_the_stand_in_itself_ends_a_fault_after_its_time(provider: StandIn):
    said = sandbox("fault", "provider", "--status", "503", "--for", "3s")
    assert said == "The stand-in provider answers 503, for 3 s.\n"
    assert get(f"{provider.url}/posts") == 503
    eventually(lambda: get(f"{provider.url}/posts") == 200, "the fault to end")
    [row] = [row for row in json.loads(sandbox("status", "--json")) if row["name"] == "provider"]
    assert (row["state"], row["faults"]) == ("well", [])


def test_an_answer_is_lost_after_its_effect(provider: StandIn):
    assert sandbox("fault", "provider", "--drop") == "The stand-in provider loses the answers.\n"
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(f"{provider.url}/posts", json={"title": "a"}, trust_env=False, verify=trusted())
    assert len(provider.rows("posts")) == 3


def test_a_slow_stand_in_answers_late(provider: StandIn):
    sandbox("fault", "provider", "--latency", "300ms")
    began = time.monotonic()
    assert get(f"{provider.url}/posts") == 200
    assert time.monotonic() - began >= 0.3


def test_a_rate_meets_a_part_of_the_requests(provider: StandIn):
    said = sandbox("fault", "provider", "--status", "500", "--rate", "0.5", "--for", "5m")
    assert said == "The stand-in provider answers 500 to 50 % of the requests, for 300 s.\n"
    answers = {get(f"{provider.url}/posts/1") for _ in range(40)}
    assert answers == {200, 500}


def test_a_new_fault_replaces_the_former(provider: StandIn):
    sandbox("fault", "provider", "--status", "503")
    said = sandbox("fault", "provider", "--status", "429", "--latency", "10ms")
    assert said == "The stand-in provider waits 0.01 s and answers 429.\n"
    assert get(f"{provider.url}/posts") == 429


def test_status_shows_every_stand_in(provider: StandIn, settings: Any):
    settings.PAYMENTS_URL = "http://127.0.0.1:9"
    sandbox("fault", "provider", "--status", "503")
    lines = [line.split(maxsplit=1) for line in sandbox("status").splitlines()]
    assert [name for name, _ in lines] == list(SETTINGS)
    states = dict(lines)
    assert states["provider"].endswith("answers 503")
    assert states["payments"].endswith("unreachable")
    assert states["counter"].endswith("not configured")


def test_mend_without_a_name_ends_all_faults(provider: StandIn, counter: Counter):
    sandbox("fault", "provider", "--status", "503")
    sandbox("fault", "counter", "--drop", "--rate", "0.5")
    assert json.loads(sandbox("mend", "--json")) == {"ended": {"provider": 1, "counter": 1}}
    assert get(f"{provider.url}/posts") == get(counter.url) == 200


class Real(BaseHTTPRequestHandler):
    """A real system that answers everything with an empty list, and records what it is asked for."""

    asked: list[str] = []

    def answer(self) -> None:
        self.asked.append(self.command)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    do_GET = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def real(settings: Any) -> Iterator[list[str]]:
    Real.asked = []
    with HTTPServer(("127.0.0.1", 0), Real) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        settings.POSTS_PROVIDER_URL = f"http://127.0.0.1:{server.server_port}"
        yield Real.asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("words", [("fault", "provider", "--status", "503"), ("mend", "provider")])
def test_a_real_system_is_asked_for_nothing(real: list[str], words: tuple[str, ...]):
    with pytest.raises(CommandError, match="which is no stand-in: only stand-ins take faults"):
        sandbox(*words)
    assert set(real) == {"GET"}


def test_a_real_system_is_left_out_of_mend(real: list[str]):
    assert json.loads(sandbox("mend", "--json")) == {"ended": {}}
    assert set(real) == {"GET"}


@pytest.mark.parametrize("words", [("status",), ("fault", "provider", "--status", "503"), ("mend",)])
def test_the_command_is_refused_outside_development(provider: StandIn, settings: Any, words: tuple[str, ...]):
    settings.DEBUG = False
    with pytest.raises(CommandError, match="for development"):
        sandbox(*words)
    assert get(f"{provider.url}/posts") == 200


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("fault nosuch --status 503", "there is no stand-in 'nosuch'. There are: provider, payments, counter, movies"),
        ("fault provider", "Say what goes wrong: --status STATUS, --latency DURATION or --drop."),
        ("fault provider --for 30s", "Say what goes wrong"),
        ("fault provider --status 200", "'200' is no status of an error: say one from 400 to 599, such as 503"),
        ("fault provider --status five", "'five' is no status of an error"),
        ("fault provider --status 503 --drop", "--drop: not allowed with argument --status"),
        ("fault provider --status 503 --for 30", "'30' is no duration up to 86,400 s: say 30s, 5m or 1h"),
        ("fault provider --status 503 --for 0s", "'0s' is no duration"),
        ("fault provider --status 503 --for 25h", "'25h' is no duration"),
        ("fault provider --latency 11m", "'11m' is no duration up to 600 s"),
        (
            "fault provider --drop --rate 0",
            "'0' is no part of the requests: say a number above 0, up to 1, such as 0.5",
        ),
        ("fault provider --drop --rate 1.5", "'1.5' is no part of the requests"),
        ("fault counter --drop", "COUNTER_URL is empty: there is no counter."),
        ("fault movies --drop", f"Nothing answers at {GONE}, which is MOVIES_PROVIDER_URL"),
        ("mend nosuch", "there is no stand-in 'nosuch'"),
    ],
)
def test_bad_input_is_one_clear_sentence(words: str, sentence: str):
    with pytest.raises(CommandError) as refused:
        sandbox(*words.split())
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
