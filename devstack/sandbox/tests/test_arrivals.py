"""The page of each stand-in: what arrived, what became of it, and which faults are in force."""

import base64
import hashlib
import re
from html import unescape

import httpx
import pytest

from devstack.sandbox import counter, jsonplaceholder, november7, payments
from devstack.sandbox.arrivals import MAX_ARRIVALS, MAX_BODY_BYTES, Arrivals
from devstack.sandbox.standin import ServerInThread
from lockstep.http.client import trusted

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
STAND_INS = {
    "JSONPlaceholder": lambda: jsonplaceholder.StandIn(posts=2, comments_per_post=1),
    "November 7": november7.StandIn,
    "payment gateway": payments.StandIn,
    "counter": counter.StandIn,
}


@pytest.fixture
def server():
    with STAND_INS["JSONPlaceholder"]() as running:
        yield running


def http(server: ServerInThread) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=10, trust_env=False, verify=trusted())


def page_of(server: ServerInThread) -> str:
    with http(server) as client:
        return client.get("/", headers=BROWSER).text


def rows_of(page: str) -> list[str]:
    """The text of each row, the latest request first."""
    rows = re.findall(r"<tr>(.*?)</tr>", page.partition("<tbody>")[2])
    return [unescape(re.sub(r"<[^>]+>", " ", row)) for row in rows]


@pytest.mark.parametrize("name", STAND_INS)
def test_each_stand_in_has_a_page_for_browsers_only(name: str):
    with STAND_INS[name]() as server, http(server) as client:
        page = client.get("/", headers=BROWSER)
        assert page.status_code == 200
        assert name in page.text
        assert "No request has arrived yet." in page.text
        assert "Latest requests" not in client.get("/").text
        assert "GET /" in rows_of(client.get("/", headers=BROWSER).text)[0]


def test_the_page_shows_what_arrived_and_its_answer(server):
    with http(server) as client:
        client.post("/posts", json={"title": "A title", "userId": 1})
        client.get("/posts/77?x=1")
    newest, oldest = rows_of(page_of(server))
    assert "GET /posts/77?x=1" in newest
    assert "404" in newest
    assert "POST /posts" in oldest
    assert '{"title":"A title","userId":1}' in oldest
    assert "201" in oldest


def test_the_page_shows_faults_in_force_and_what_they_did(server):
    server.faults(status=503, methods=["POST"], times=5)
    with http(server) as client:
        client.post("/posts", json={})
    server.faults(down=True)
    with http(server) as client, pytest.raises(httpx.RemoteProtocolError):
        client.get("/posts")
    page = page_of(server)
    assert '<li class="fault">down=True</li>' in page
    newest, oldest = rows_of(page)
    assert "no answer" in newest
    assert "down=True" in newest
    assert "503" in oldest
    assert "status=503" in oldest


def test_the_page_is_neither_counted_nor_subject_to_faults(server):
    server.faults(status=500)
    page_of(server)
    assert server.requests() == []
    assert server.counts() == {}


def test_every_text_is_escaped(server):
    attack = "<script>alert(1)</script>\u202e"
    server.faults({"body": attack})
    with http(server) as client:
        client.post("/posts", json={"title": attack})
        client.request("GET", "/posts?x='\"<b>")
    page = page_of(server)
    assert "<script" not in page
    assert "<b>" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page


def test_the_policy_allows_the_style_of_the_page_and_nothing_else(server):
    with http(server) as client:
        answer = client.get("/", headers=BROWSER)
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_refreshing_can_be_stopped(server):
    with http(server) as client:
        assert 'http-equiv="refresh"' in client.get("/", headers=BROWSER).text
        assert 'http-equiv="refresh"' not in client.get("/?refresh=off", headers=BROWSER).text


def test_cards_are_not_shown():
    with payments.StandIn() as server, http(server) as client:
        card = {"card_number": "4111111111111111", "expiry": "12/40", "cvc": "737"}
        token = client.post("/tokens", json=card).json()["token"]
        client.post("/charges", json={"token": token, "amount": "1.00", "currency": "EUR"})
        client.post("/tokens", content=b"4111111111111111")
        page = page_of(server)
    assert "/tokens" in page
    assert "4111111111111111" not in page
    assert '"737"' not in unescape(page)
    assert token not in page


def test_memory_is_bounded():
    arrivals = Arrivals()
    for number in range(MAX_ARRIVALS + 1):
        arrivals.add("POST", f"/{number}" + "x" * 100_000, b"y" * (MAX_BODY_BYTES + 1))
    latest = arrivals.latest()
    assert len(latest) == MAX_ARRIVALS
    assert latest[0].target.startswith(f"/{MAX_ARRIVALS}")
    assert latest[0].content == f"{MAX_BODY_BYTES + 1:,} bytes"
    assert sum(len(one.target) + len(one.body) for one in latest) < MAX_ARRIVALS * MAX_BODY_BYTES


def test_forgotten_requests_leave_the_page(server):
    with http(server) as client:
        client.get("/posts")
        client.delete("/_requests")
    assert rows_of(page_of(server)) == [" No request has arrived yet. "]
