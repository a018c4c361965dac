"""`docker compose up` with nothing set: what the requirements say of it."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.running import free_port
from tests.images.client import Client, listed
from tests.images.engine import ROOT, Compose, Engine
from tests.support import eventually

# The health of containers is looked at by systemd, which need not be here; the start waits for the database by itself.
# Names are in each container's own file, as in production.py: containers of other tests come and go beside these.
OVERRIDE = """
x-hosts: &hosts
  postgres: 172.31.251.31
  posts-provider: 172.31.251.32
  movies-provider: 172.31.251.33
  counter: 172.31.251.34
  payments: 172.31.251.35
services:
  postgres:
    networks: {{default: {{ipv4_address: 172.31.251.31}}}}
  posts-provider:
    networks: {{default: {{ipv4_address: 172.31.251.32}}}}
  movies-provider:
    networks: {{default: {{ipv4_address: 172.31.251.33}}}}
  counter:
    networks: {{default: {{ipv4_address: 172.31.251.34}}}}
  payments:
    networks: {{default: {{ipv4_address: 172.31.251.35}}}}
  prepare:
    extra_hosts: *hosts
    depends_on: !override
      postgres: {{condition: service_started}}
      posts-provider: {{condition: service_started}}
  web:
    extra_hosts: *hosts
    ports: !override ["127.0.0.1:{port}:8000"]
  worker:
    extra_hosts: *hosts
networks:
  default:
    ipam:
      config: [{{subnet: 172.31.251.0/24, ip_range: 172.31.251.128/25}}]
"""
PROVIDER = "http://172.31.251.32:3001/posts"
COUNTER = "http://172.31.251.34:8888/"


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def system(engine: Engine, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    override: Path = tmp_path_factory.mktemp("development") / "override.yaml"
    override.write_text(OVERRIDE.format(port=port))
    with Compose(engine, "lockstep-development", [ROOT / "compose.yaml", override], {}).running() as compose:
        compose.until(lambda: is_ready(port), "web")
        yield compose


def is_ready(port: int) -> bool:
    try:
        return Client(port).get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def at_provider(number: int) -> str:
    return httpx.get(PROVIDER, params={"id": number}, timeout=60, trust_env=False).text


def test_its_log_has_the_base_users_token_and_the_import(system: Compose, port: int):
    log = system.logs("prepare")
    assert "posts: 100 imported" in log
    assert "comments: 500 imported" in log
    [token] = re.findall(r"Authorization: Bearer (\S+)", log)
    client = Client(port)
    client.headers["Authorization"] = f"Bearer {token}"
    assert len(client.get("/fakeapi/v1/posts/").json()) == 100


def test_a_post_arrives_at_the_provider(system: Compose, port: int):
    number = Client(port).sign_in("user", "1234").make_post("by compose")
    eventually(lambda: "by compose" in at_provider(number), "the post to arrive")


def test_the_other_systems_have_their_stand_ins(system: Compose, port: int):
    client = Client(port).sign_in("user", "1234")
    eventually(lambda: client.get("/api/v1/movies/").json().get("count"), "the catalogue of movies")
    assert client.post("/api/defects", json={"comment": "a defect"}).status_code == 201
    eventually(lambda: "1" in httpx.get(COUNTER, timeout=60, trust_env=False).text, "the counter to be told")


def test_a_stream_sends_changes(system: Compose, port: int):
    admin = Client(port).sign_in("admin", "12345")
    with admin.stream("GET", "/api/v1/changes/", headers={"Accept": "text/event-stream"}) as stream:
        text = ""
        for part in stream.iter_text():
            text += part
            if "id:" in text and "streamed" not in text and text.count("\n\n") == 1:
                Client(port).sign_in("user", "1234").make_post("streamed")
            if events := [event for event in listed(text) if "streamed" in str(event)]:
                break
    assert events


def test_it_listens_on_loopback_alone(system: Compose):
    bindings = system.engine.inspect(system.container("web"))["HostConfig"]["PortBindings"]
    assert {one["HostIp"] for several in bindings.values() for one in several or ()} == {"127.0.0.1"}
    others = ("postgres", "posts-provider", "worker", "counter", "payments", "movies-provider")
    for service in others:
        assert not any(system.engine.inspect(system.container(service))["HostConfig"]["PortBindings"].values())


def test_its_data_survive_a_new_start(system: Compose, port: int):
    number = Client(port).sign_in("user", "1234").make_post("before the restart")
    system("down", "--timeout=10")
    system("up", "--detach", "--no-build")
    system.until(lambda: is_ready(port), "web")
    client = Client(port).sign_in("user", "1234")
    assert number in [post["id"] for post in client.get("/fakeapi/v1/posts/").json()]
    eventually(lambda: "before the restart" in at_provider(number), "the post to arrive")


def test_figures_are_of_all_web_processes_together(system: Compose, port: int):
    processes = system.inside("web", "import backend.web_server as w; print(w.cores())")
    client = Client(port).sign_in("user", "1234")
    for _ in range(40):  # connections of their own, so that each process has some
        Client(port).get("/fakeapi/v1/posts/", headers=dict(client.headers))
    assert int(processes) > 1
    assert all(counted(Client(port).get("/metrics").text) >= 40 for _ in range(10))


def counted(figures: str) -> float:
    pattern = r'^lockstep_http_request_seconds_count\{method="GET",status="200"\} (\S+)$'
    return sum(map(float, re.findall(pattern, figures, re.MULTILINE)))
