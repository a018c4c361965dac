"""What only the stand-in has: faults, the request log, persistence, its data. Its likeness is a contract test."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from devstack.sandbox.faults import BadFault, Faults, parse
from devstack.sandbox.jsonplaceholder import StandIn, texts
from devstack.sandbox.jsonplaceholder.server_variants import as_number, as_text
from devstack.sandbox.request_log import MAX_ENTRIES, RequestLog
from lockstep.http.client import trusted

ROOT = Path(__file__).resolve().parents[4]
POST = {"title": "t", "body": "b", "userId": 1}


@pytest.fixture
def server():
    with StandIn(posts=20, comments_per_post=2) as running:
        yield running


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=10, trust_env=False, verify=trusted()) as client:
        yield client


# Data


def test_the_data_have_the_shape_and_are_always_the_same():
    posts, comments = list(texts.posts(100)), list(texts.comments(100, 5))
    assert posts == list(texts.posts(100))
    assert [post["userId"] for post in posts] == [number // 10 + 1 for number in range(100)]
    assert [comment["postId"] for comment in comments] == [number // 5 + 1 for number in range(500)]
    assert any("\n" in post["body"] for post in posts)
    assert all(post["title"] and post["body"] for post in posts)
    assert len({(post["title"], post["body"]) for post in posts}) == 100
    assert len({comment["email"] for comment in comments}) == 500


def test_rows_are_stored_as_sent(server, http):
    assert server.rows("posts") == http.get("/posts").json() == list(texts.posts(20))
    assert server.rows("comments") == http.get("/comments").json()


@pytest.mark.slow
def test_a_list_of_many_pages_is_complete():
    with StandIn(posts=9001, comments_per_post=0) as server:
        answer = httpx.get(f"{server.url}/posts", timeout=10)
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert [row["id"] for row in answer.json()] == list(range(1, 9002))
        part = httpx.get(f"{server.url}/posts?_start=3990&_end=8500", timeout=10)
        assert [row["id"] for row in part.json()] == list(range(3991, 8501))
        assert httpx.get(f"{server.url}/comments", timeout=10).text == "[]"


@pytest.mark.parametrize("query", ["title_like=a", "id_gte=3", "id_ne=1", "q=a", "_sort=id", "_embed=comments"])
def test_unsupported_features_are_refused(http, query):
    answer = http.get(f"/posts?{query}")
    assert answer.status_code == 400
    assert "not imitated" in answer.json()["error"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-1.5", -1.5),
        ("1e3", 1000),
        ("true", True),
        ("05", "05"),
        ("0", 0),
        ("", ""),
        (" 5", " 5"),
        ("5x", "5x"),
        (None, None),
    ],
)
def test_texts_that_look_like_numbers_become_numbers(text, value):
    assert as_number(text) == value
    assert type(as_number(text)) is type(value)


def test_values_are_compared_as_javascript_writes_them():
    assert [as_text(value) for value in ("x", 1, 1.0, 1.5, True, None)] == [
        "x",
        "1",
        "1",
        "1.5",
        "true",
        None,
    ]
    assert as_text([1, None, "a"]) == "1,,a"
    assert as_text({}) == "[object Object]"


# Persistence


def test_a_folder_keeps_written_objects(tmp_path):
    with StandIn(folder=tmp_path / "new", posts=3) as server:
        made = httpx.post(f"{server.url}/posts", json=POST).json()
        httpx.delete(f"{server.url}/posts/1")
    with StandIn(folder=tmp_path / "new", posts=50) as server:
        assert [row["id"] for row in server.rows("posts")] == [2, 3, made["id"]]
        assert {row["postId"] for row in server.rows("comments")} == {2, 3}
        assert httpx.post(f"{server.url}/posts", json=POST).json()["id"] == made["id"] + 1


def test_a_failed_change_is_rolled_back(server):
    store = server._store
    with pytest.raises(sqlite3.IntegrityError), store.change(keep=True):
        store.remove("posts", 5)
        store.add("posts", {"id": 6})
    assert store.get("posts", 5) is not None


def test_deleting_deletes_the_comments_of_that_post_only(server, http):
    http.post("/posts", json={"id": "abc"})
    http.post("/comments", json={"postId": "abc", "id": "c"})
    http.delete("/posts/2")
    assert {row["postId"] for row in server.rows("comments")} == ({*range(1, 21), "abc"} - {2})
    http.delete("/posts/abc")
    assert "abc" not in {row["postId"] for row in server.rows("comments")}


def test_ids_that_are_texts_do_not_disturb_the_numbering(http):
    http.post("/posts", json={"id": "abc"})
    assert http.get("/posts/abc").json() == {"id": "abc"}
    assert http.post("/posts", json=POST).json()["id"] == 21


def test_a_delete_also_sweeps_comments_that_never_had_a_post(server, http):
    http.post("/comments", json={"postId": 999})
    http.post("/posts", json={**POST, "userId": 99999942})
    http.delete("/comments/1")
    assert [row["id"] for row in server.rows("comments")] == list(range(2, 41))
    assert len(server.rows("posts")) == 21


# Faults


def test_a_status_with_retry_after_has_no_effect(server, http):
    server.faults(status=503, retry_after=2, times=2, methods=["post"])
    answers = [http.post("/posts", json=POST) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 201]
    assert answers[0].headers["Retry-After"] == "2"
    assert len(server.rows("posts")) == 21


def test_after_effect_loses_only_the_answer(server, http):
    server.faults(status=500, times=1, after_effect=True)
    assert http.post("/posts", json=POST).status_code == 500
    server.faults(cut=True, times=1, after_effect=True)
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/posts", json=POST)
    assert len(server.rows("posts")) == 22


def test_cut_writes_have_no_effect(server, http):
    server.faults(cut=True, times=2)
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/posts", json=POST)
    with pytest.raises(httpx.RemoteProtocolError):
        http.delete("/posts/1")
    assert server.rows("posts") == list(texts.posts(20))


@pytest.mark.parametrize("path", ["/posts", "/posts/1"])
def test_cut_reads_end_in_the_middle(server, http, path):
    server.faults(cut=True, times=1)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        http.get(path)
    assert http.get(path).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/posts"), ("GET", "/posts/1"), ("DELETE", "/posts/1")])
def test_a_server_that_is_down_answers_nothing(server, http, method, path):
    server.faults(down=True, times=1)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        http.request(method, path)
    assert server.rows("posts") == list(texts.posts(20))


def test_data_are_read_without_faults_and_uncounted(server, http):
    server.faults(down=True)
    assert http.get("/_data/posts/1").json() == server.rows("posts")[0]
    assert http.get("/_data/posts/0").status_code == 404
    assert server.counts() == {}


def test_garbage_is_a_200_that_is_not_json(server, http):
    server.faults(garbage=True, times=1)
    answer = http.get("/posts")
    assert (answer.status_code, answer.text[:6]) == (200, "<html>")


@pytest.mark.slow
def test_a_slow_link_delivers_the_same_body_slowly():
    with StandIn(posts=2_000, comments_per_post=5) as server:
        address = f"{server.url}/comments"
        at_once = httpx.get(address).content
        server.faults(pace=1 << 40)
        assert httpx.get(address).content == at_once
        server.faults(pace=1)
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(address, timeout=0.5)
        with httpx.stream("GET", address, timeout=0.5) as slow:
            begun = next(slow.iter_raw())
    assert at_once.startswith(begun)
    assert 0 < len(begun) < len(at_once)


def test_ids_as_strings_changes_responses_only(server, http):
    server.faults(ids_as_strings=True)
    assert http.get("/posts/3").json()["id"] == "3"
    assert http.get("/comments?_limit=1").json()[0]["postId"] == "1"
    assert http.post("/posts", json=POST).json() == {**POST, "userId": "1", "id": "21"}
    server.faults()
    assert http.get("/posts/21").json() == {**POST, "id": 21}


def test_latency_delays_the_response_before_or_after_the_effect(server, http):
    server.faults(latency=60, methods=["GET"], times=1)
    with pytest.raises(httpx.ReadTimeout):
        http.get("/posts/1", timeout=0.05)
    server.faults(latency=60, after_effect=True, times=1)
    with pytest.raises(httpx.ReadTimeout):
        http.post("/posts", json=POST, timeout=0.05)
    end = time.monotonic() + 10
    while len(server.rows("posts")) == 20 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(server.rows("posts")) == 21


def test_a_write_that_waits_when_the_server_ends_never_happens(tmp_path):
    with StandIn(folder=tmp_path, posts=1) as server:
        server.faults(latency=60)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/posts", json=POST, timeout=0.05)
    with StandIn(folder=tmp_path) as server:
        assert len(server.rows("posts")) == 1


def test_a_body_without_a_length_is_refused(http):
    assert http.post("/posts", content=iter([b"{}"])).status_code == 411


def test_the_first_fault_that_meets_a_request_wins(server, http):
    server.faults({"status": 500, "path": "/comments"}, {"status": 429, "methods": ["GET"]})
    assert [http.get(path).status_code for path in ("/comments", "/posts")] == [500, 429]
    assert http.delete("/posts/1").status_code == 200


def test_a_fault_with_a_share_meets_that_share_of_requests():
    faults = Faults()
    faults.set(parse({"status": 500, "share": 0.1}))
    met = sum(faults.draw("GET", "/posts") is not None for _ in range(2000))
    assert 120 < met < 280


def test_faults_are_set_shown_and_removed_over_http(server, http):
    shown = http.put("/_faults", json={"status": 502, "times": 2}).json()
    assert (shown[0]["status"], shown[0]["times"], shown[0]["share"]) == (502, 2, 1.0)
    assert http.get("/posts").status_code == 502
    assert http.get("/_faults").json()[0]["times"] == 1
    assert http.delete("/_faults").json() == []
    assert http.get("/posts").status_code == 200


def test_faults_that_are_over_are_not_shown(http):
    http.put(
        "/_faults",
        json=[{"status": 503, "seconds": 0.1}, {"status": 500, "times": 1}, {"latency": 0.01, "seconds": 60}],
    )
    left = [fault["seconds"] for fault in http.get("/_faults").json()]
    assert left[1] is None
    assert 0 < left[0] <= 0.1
    assert 59 < left[2] <= 60
    time.sleep(0.12)
    assert http.get("/posts").status_code == 500  # the first is over, and this one with it
    assert [fault["latency"] for fault in http.get("/_faults").json()] == [0.01]


def test_control_routes_tell_that_this_is_a_stand_in(http):
    assert http.get("/_faults").headers["Stand-In"]
    assert "Stand-In" not in http.get("/posts").headers


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (7, "JSON object"),
        ([{}, 7], "JSON object"),
        ({"nosuch": 1}, "unknown: nosuch; known are latency, status"),
        ({"latency": -1}, "latency must be seconds"),
        ({"latency": True}, "latency must be"),
        ({"status": "503"}, "status must be"),
        ({"status": 99}, "status must be"),
        ({"share": 1.5}, "share must be a number from 0 to 1"),
        ({"times": 0}, "times must be a whole number from 1"),
        ({"times": 1.5}, "times must be"),
        ({"methods": "POST"}, "methods must be a list out of GET"),
        ({"methods": []}, "methods must be"),
        ({"methods": ["FETCH"]}, "methods must be"),
        ({"cut": 1}, "cut must be true or false"),
        ({"path": "posts"}, "path must be"),
        ({"retry_after": -1}, "retry_after must be"),
    ],
)
def test_an_invalid_fault_is_400(http, fault, message):
    answer = http.put("/_faults", json=fault)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    with pytest.raises(BadFault):
        parse(fault)
    assert http.get("/_faults").json() == []


def test_faults_that_are_not_json_are_400(http):
    answer = http.put("/_faults", content=b"{")
    assert (answer.status_code, answer.json()["error"][:8]) == (400, "not JSON")


# Request log


def test_requests_are_counted(server, http):
    http.get("/posts/1?x=1")
    http.get("/posts")
    http.post("/comments", json={})
    http.get("/_requests")
    shown = http.get("/_requests").json()
    assert shown["counts"] == server.counts() == {"GET /posts": 2, "POST /comments": 1}
    assert shown["last"][0].items() >= {"method": "GET", "path": "/posts/1?x=1"}.items()
    assert http.delete("/_requests").json() == {"counts": {}, "last": []}
    assert server.requests() == []


def test_the_request_log_keeps_the_last_thousand():
    request_log = RequestLog()
    for number in range(MAX_ENTRIES + 5):
        request_log.note("GET", f"/posts/{number}")
    shown = request_log.shown()
    assert (shown["counts"]["GET /posts"], len(shown["last"]), shown["last"][0]["path"]) == (
        1005,
        1000,
        "/posts/5",
    )


def test_unknown_control_routes_are_404(http):
    assert http.get("/_nosuch").status_code == 404
    assert http.post("/_faults", json={}).status_code == 404


# Process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_the_process_prints_its_address_and_ends_at_sigterm(tmp_path, number):
    command = [
        sys.executable,
        "-m",
        "devstack.sandbox.jsonplaceholder",
        "--port",
        "0",
        "--folder",
        str(tmp_path),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            url = line.split()[-1]
            with httpx.Client(base_url=url, timeout=10, trust_env=False, verify=trusted()) as client:
                assert client.get("/posts/100").status_code == 200
                client.put("/_faults", json={"latency": 60})
                with pytest.raises(httpx.ReadTimeout):
                    client.get("/posts", timeout=0.05)
                os.kill(process.pid, number)
                rest, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert "listens on http://127.0.0.1:" in line
    assert (process.returncode, rest, errors) == (0, "", "")


def test_a_write_whose_sender_died_in_the_middle_of_it_has_not_happened(server):
    before, address = server.rows("posts"), urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as sender:
        sender.sendall(b'POST /posts HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n{"title"')
        sender.shutdown(socket.SHUT_WR)
        assert sender.recv(100) == b""
    assert server.rows("posts") == before
