"""Production's shape, running, and a receiver: what its tests share."""

import asyncio
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import yaml

from tests.acceptance.running import free_port
from tests.images.client import Client, Load
from tests.images.engine import ROOT, STAND_INS, Compose, Engine, program
from tests.support import eventually

HOST = "shop.example"
RECEIVER = "receiver.example"
NETWORK = "172.31.250.0/24"
# In OVERRIDE; this machine reaches them without a process in a container for each question.
DATABASE_ADDRESS, PROVIDER_ADDRESS = "172.31.250.31", "172.31.250.32"
PROBED = {
    "web": "172.31.250.11:8000",
    "web-b": "172.31.250.12:8000",
    "worker": "172.31.250.21:9000",
    "worker-b": "172.31.250.22:9000",
}
# No health checks, which podman has by systemd alone; a disk that can be filled; a receiver that the workers trust;
# and addresses at which what is no container finds the workers.
# Names are in each container's own file: podman 4.3's DNS server loses some while containers come
# and go.
OVERRIDE = """
x-hosts: &hosts
  postgres: 172.31.250.31
  posts-provider: 172.31.250.32
  movies-provider: 172.31.250.33
  receiver.example: 172.31.250.34
x-worker: &worker
  environment: {SSL_CERT_FILE: /receiver/tls/certificate}
  volumes: ["${RECEIVER_FOLDER}:/receiver:ro"]
  extra_hosts: *hosts
services:
  postgres:
    volumes: !override ["${DISK}:/var/lib/postgresql"]
    networks: {default: {ipv4_address: 172.31.250.31}}
  posts-provider:
    networks: {default: {ipv4_address: 172.31.250.32}}
  movies-provider:
    networks: {default: {ipv4_address: 172.31.250.33}}
  web: {extra_hosts: *hosts}
  web-b: {extra_hosts: *hosts}
  prepare:
    extra_hosts: *hosts
    depends_on: !override
      postgres: {condition: service_started}
      posts-provider: {condition: service_started}
  worker:
    <<: *worker
    networks: {default: {ipv4_address: 172.31.250.21}}
  worker-b:
    <<: *worker
    networks: {default: {ipv4_address: 172.31.250.22}}
  receiver:
    image: ${LOCKSTEP_IMAGE}
    entrypoint: [python, /receiver/receiver.py, /receiver/tls/certificate, /receiver/tls/key]
    volumes: ["${RECEIVER_FOLDER}:/receiver:ro", "${NOTES_FOLDER}:/notes"]
    read_only: true
    networks: {default: {ipv4_address: 172.31.250.34}}
"""
DISK_SIZE = "3g"  # in memory, as far as it is used; the load's write-ahead log takes a third of it
WRITERS = 8  # each may ask 100 times a second


@dataclass(frozen=True)
class Production:
    """The running system, and how to reach it."""

    system: Compose
    secrets: Path
    notes: Path  # of the receiver
    disk: Path  # of PostgreSQL
    override: Path
    http: int
    https: int

    @property
    def certificate(self) -> Path:
        """Of the edge."""
        return self.secrets / "tls" / "certificate"

    def client(self) -> Client:
        """A client that is not signed in."""
        return Client(self.https, HOST, self.certificate)

    def register(self, name: str) -> Client:
        """A client with an account."""
        return self.client().register(name)

    def is_ready(self) -> bool:
        """Web server, database and workers."""
        try:
            return self.client().get("/readyz").json().get("worker") == "ok"
        except httpx.TransportError:
            return False

    def health(self, service: str) -> str:
        """ "ok", or what its health check says. That takes a second: it is asked once the process answers."""
        try:
            answer = httpx.get(f"http://{PROBED[service]}/readyz", timeout=60, trust_env=False)
        except httpx.TransportError as error:
            return repr(error)
        if answer.status_code != 200:
            return answer.text
        try:
            self.system.manage(service, "healthcheck", service.partition("-")[0], "--ready")
        except AssertionError as error:
            return str(error)
        return "ok"

    def is_drained(self) -> bool:
        """Whether nothing is left to be delivered."""
        status = json.loads(self.system.manage("web", "lockstep", "status", "--json"))
        return all(one["behind"] == one["waiting"] == one["dead"] == 0 for one in status)

    def at_provider(self) -> str:
        """All posts that the stand-in has, as it shows them."""
        return httpx.get(f"http://{PROVIDER_ADDRESS}:3001/posts?_limit=100000", timeout=60, trust_env=False).text

    def received(self) -> list[dict[str, Any]]:
        """What the receiver was sent, each message once, in the order of its first coming."""
        if not self.notes.exists():
            return []
        messages = (json.loads(line) for line in self.notes.read_text().splitlines())
        first: dict[str, dict[str, Any]] = {}
        for message in messages:
            first.setdefault(message["message"], message)
        return list(first.values())

    def sql(self, statement: str) -> list[list[Any]]:
        """What the database answers to its owner."""
        password = (self.secrets / "database_password").read_text()
        with psycopg.connect(
            host=DATABASE_ADDRESS, dbname="lockstep", user="lockstep", password=password, autocommit=True
        ) as connection:
            cursor = connection.execute(statement)
            return [list(row) for row in cursor] if cursor.description else []

    @contextmanager
    def altered(self, folder: Path, services: Mapping[str, Any]) -> Iterator[None]:
        """These services are replaced by ones with other settings; at the end they are as they were."""
        file = folder / "altered.yaml"
        file.write_text(yaml.safe_dump({"services": dict(services)}))
        system = self.system
        altered = Compose(system.engine, system.name, [*system.paths, file], system.environment)
        up = ("up", "--detach", "--no-deps", "--no-build", *services)
        altered(*up)
        try:
            yield
        finally:
            system(*up)

    def roll(self, image: str) -> None:
        """Replaces the version, as the documents say."""
        words = [sys.executable, "deploy/roll.py", "--file", self.override]
        environment = {**self.system.environment, "COMPOSE": str(program()), "PATH": "/usr/bin:/bin"}
        environment["LOCKSTEP_IMAGE"] = image
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        logs = [self.system.try_logs(service) for service in ("web", "web-b", "worker", "worker-b")]
        assert done.returncode == 0, "\n== ".join([done.stdout, done.stderr, *logs])
        self.system.manage("web", "migrate", "--check")  # of `run` podman tells Compose no exit code

    def migrate(self, image: str) -> None:
        """Only the migrations of this version."""
        environment = {**self.system.environment, "LOCKSTEP_IMAGE": image}
        Compose(self.system.engine, self.system.name, self.system.paths, environment)(
            "run", "--rm", "--no-deps", "prepare", "migrate"
        )

    def step_back(self, *services: str) -> None:
        """These alone are of the first version again, as after a crash in the middle of a change of version."""
        self.system("up", "--detach", "--no-deps", "--no-build", "--force-recreate", *services)
        for service in services:
            eventually(lambda service=service: self.health(service) == "ok", f"{service} to be ready")
        self.system.manage(services[0], "migrate")  # which ends well, and leaves all as it is

    def under_load(self, act: Callable[[], None]) -> Load:
        """Acts while 200 requests a second come; ends when the act is done and all answers are there."""
        tokens = [token_of(self.register(f"writer{n}-{uuid4()}")) for n in range(WRITERS)]
        load = Load(f"https://127.0.0.1:{self.https}", self.certificate, HOST, tokens)
        asyncio.run(_beside(load, act))
        return load


def token_of(client: Client) -> str:
    """The credentials of a client."""
    return client.headers["Authorization"].removeprefix("Bearer ")


async def _beside(load: Load, act: Callable[[], None]) -> None:
    is_over = asyncio.Event()
    loop = asyncio.get_running_loop()
    failed: list[BaseException] = []

    def acting() -> None:
        try:
            act()
        except BaseException as error:  # it is raised below, by the thread that tests
            failed.append(error)
        finally:
            loop.call_soon_threadsafe(is_over.set)

    thread = threading.Thread(target=acting)
    thread.start()
    await load.run(is_over)
    thread.join()
    if failed:
        raise failed[0]


@contextmanager
def small_disk(engine: Engine, folder: Path) -> Iterator[None]:
    """A file system of its own, which can be filled without harm to others."""
    folder.mkdir()
    engine.remove_at_end("mount", str(folder))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def running(engine: Engine, folder: Path) -> Iterator[Production]:
    """All of it, ready; at the end gone."""
    secrets, receiver, notes, disk = (folder / name for name in ("secrets", "receiver", "notes", "disk"))
    for place, host in ((secrets, HOST), (receiver, RECEIVER)):
        command = [sys.executable, "deploy/make_secrets.py", place, "--self-signed", host]
        made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert f"{place} is complete.\n" in made.stdout
    receiver.chmod(0o755)
    shutil.copy(STAND_INS / "receiver" / "receiver.py", receiver)
    notes.mkdir()
    notes.chmod(0o777)
    override = folder / "override.yaml"
    override.write_text(OVERRIDE)
    http, https = free_port(), free_port()
    settings = {
        "ALLOWED_HOSTS": HOST,
        "SECRETS": str(secrets),
        "HTTP_PORT": str(http),
        "HTTPS_PORT": str(https),
        "POSTS_PROVIDER_URL": "http://posts-provider:3001",
        "MOVIES_PROVIDER_URL": "http://movies-provider:3003",
        "WEBHOOK_ALLOW_NETWORKS": NETWORK,
        "COMPOSE_PROFILES": "stand-ins",
        "RECEIVER_FOLDER": str(receiver),
        "NOTES_FOLDER": str(notes),
        "DISK": str(disk),
    }
    files = [ROOT / "compose.yaml", ROOT / "compose.production.yaml", override]
    with small_disk(engine, disk), Compose(engine, "lockstep-production", files, settings).running() as system:
        production = Production(system, secrets, notes / "received.jsonl", disk, override, http, https)
        system.until(production.is_ready, "nginx")
        yield production
