"""Secrets that are replaced under processes that run, by the steps of docs/deployment.md, "Secrets that change"."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from devstack.launcher import template
from devstack.launcher.postgres import Server
from lockstep.delivery.tests.support import insert_post
from lockstep.tests.kit.workers import WorkerProcess
from lockstep.webhooks.tests.receiver import Received, Receiver, receiving
from tests.acceptance.running import ROOT
from tests.faults.processes import working
from tests.strangers.serving import Server as WebServer
from tests.strangers.serving import serving
from tests.support import WAIT_TIMEOUT, eventually, superuser_url

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]

OLD, NEW = "old-" * 15, "new-" * 15
POSTS, ME = "/fakeapi/v1/posts", "/api/v1/users/me/"
STAFF = {"username": "ann", "password": "of-this-test-1"}


def document() -> str:
    """The section, as it stands."""
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    return text.partition("## Secrets that change\n")[2].partition("\n## ")[0]


@dataclass
class Place:
    """A database of its own, and processes on it with these settings or others."""

    database: Server
    folder: Path

    def settings(self, **other: str) -> dict[str, str]:
        own = {"DATABASE_URL": self.database.url, "DEBUG": "true", "POSTS_PROVIDER_URL": "http://127.0.0.1:9"}
        return {**own, "COUNTER_URL": "", "WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8", **other}

    @contextmanager
    def web(self, name: str, **settings: str) -> Iterator[WebServer]:
        """A web server, whose log is in a folder of this name."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        with serving(folder, **self.settings(**settings)) as server:
            yield server

    @contextmanager
    def worker(self, **settings: str) -> Iterator[WorkerProcess]:
        with working(self.database.url, self.folder, **self.settings(**settings)) as worker:
            yield worker

    def manage(self, *words: str, **settings: str) -> str:
        environment = {**os.environ, **self.settings(**settings)}
        command = [sys.executable, "-m", "backend", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def place(home: Path) -> Iterator[Place]:
    template.copy_to(home / "postgres")
    with Server(home / "postgres", durable=False) as server:
        yield Place(server, home)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def keys(key: str, *fallbacks: str) -> dict[str, str]:
    return {"SECRET_KEY": key, "SECRET_KEY_FALLBACKS": ",".join(fallbacks)}


@dataclass
class Holder:
    """A user's tokens, session and webhook, which a SECRET_KEY has signed or sealed."""

    pair: dict[str, str]
    cookies: httpx.Cookies
    hook: str
    secret: str

    @classmethod
    def of(cls, server: WebServer, receiver: Receiver, name: str) -> "Holder":
        """Signs in by the API and by the admin, and makes an endpoint."""
        with server.client() as client:
            pair = client.post("/api/v1/auth/token/", json=STAFF)
            assert pair.status_code == 200, pair.text
            client.get("/admin/login/")
            form = {**STAFF, "csrfmiddlewaretoken": client.cookies["csrftoken"], "next": "/admin/"}
            assert client.post("/admin/login/", data=form).status_code == 302
            cookies = httpx.Cookies(client.cookies)
        with server.client(pair.json()["access"]) as client:
            body = {"url": f"{receiver.url}/{name}", "events": ["posts.post.created"]}
            made = client.post("/api/v1/webhooks/", json=body)
            assert made.status_code == 201, made.text
        return cls(pair.json(), cookies, name, made.json()["secret"])

    def shows(self, server: WebServer) -> tuple[int, int]:
        """What this server answers to the token, and to the admin's session."""
        with server.client(self.pair["access"]) as client:
            token = client.get(ME).status_code
        with server.client() as client:
            client.cookies = self.cookies
            page = client.get("/admin/").status_code
            self.cookies = httpx.Cookies(client.cookies)  # a session gets another id under the other key
        return token, page

    def refresh(self, server: WebServer) -> None:
        with server.client() as client:
            answer = client.post("/api/v1/auth/refresh/", json={"refresh": self.pair["refresh"]})
        assert answer.status_code == 200, answer.text
        self.pair = answer.json()

    def is_told(self, place: Place, receiver: Receiver, title: str) -> None:
        """A change arrives, signed with the secret."""

        def arrived() -> Received | None:
            wanted = (r for r in receiver.requests if r.path.endswith(self.hook) and title.encode() in r.body)
            return next(wanted, None)

        with psycopg.connect(place.database.url, autocommit=True) as own:
            insert_post(own, title)
        assert eventually(arrived, f"{title} at {self.hook}").verified(self.secret)["type"] == "posts.post.created"


def create(server: WebServer, holder: Holder, key: str) -> tuple[int, str, bool]:
    """A post under an Idempotency-Key: the status, the body, and whether it had been carried out before."""
    with server.client(holder.pair["access"]) as client:
        body = {"title": f"once, under {key}", "body": "of a test"}
        answer = client.post(f"{POSTS}/create/", json=body, headers={"Idempotency-Key": key})
    return answer.status_code, answer.text, "Idempotent-Replayed" in answer.headers


def test_a_secret_key_is_replaced_without_anybody_noticing(place: Place, receiver: Receiver):
    account = {f"DJANGO_SUPERUSER_{name.upper()}": value for name, value in STAFF.items()}
    place.manage("createsuperuser", "--no-input", "--email=ann@example.com", **account)
    with place.web("before", **keys(OLD)) as before:
        early = Holder.of(before, receiver, "early")
        first = create(before, early, "first")
        assert first[0] == 201
    # Between the first step and the second processes of both are there.
    with (
        place.web("step-1", **keys(OLD, NEW)) as one,
        place.web("step-2", **keys(NEW, OLD)) as two,
        place.worker(**keys(OLD, NEW)),
    ):
        late = Holder.of(two, receiver, "late")
        for server in (one, two):
            assert early.shows(server) == late.shows(server) == (200, 200)
            assert create(server, early, "first") == (201, first[1], True)
        second = create(two, early, "second")
        assert create(one, early, "second") == (201, second[1], True)
        late.refresh(one)
        late.refresh(two)
        for holder in (early, late):
            holder.is_told(place, receiver, f"in between, {holder.hook}")
    (command,) = re.findall(r"^ {4,}python -m backend (.+)$", document(), re.MULTILINE)
    assert "The secrets of 2 endpoints are encrypted" in place.manage(*command.split(), **keys(NEW, OLD))
    with place.web("step-4", **keys(NEW)) as after, place.worker(**keys(NEW)):
        assert late.shows(after) == (200, 200)
        assert early.shows(after) == (401, 200)  # its token is too old; its session was seen since, and signed anew
        for holder in (early, late):
            holder.is_told(place, receiver, f"afterwards, {holder.hook}")


@dataclass
class Passwords:
    """The database's address and password in the places where a deployment keeps them."""

    place: Place
    file: Path

    def settings(self, role: str) -> dict[str, str]:
        server = f"127.0.0.1:{self.place.database.port}"
        return {"DATABASE_URL": f"postgresql://{role}@{server}/lockstep", "DATABASE_PASSWORD_FILE": str(self.file)}

    def alter(self, *statements: str) -> None:
        with psycopg.connect(superuser_url(self.url), autocommit=True) as own:
            for statement in statements:
                own.execute(statement)

    @property
    def url(self) -> str:
        """Of the owner, with the password of now."""
        return f"postgresql://lockstep:{self.file.read_text()}@127.0.0.1:{self.place.database.port}/lockstep"


@pytest.fixture
def passwords(place: Place) -> Passwords:
    file = place.folder / "database_password"
    file.write_text(place.database.url.partition("://lockstep:")[2].partition("@")[0])
    return Passwords(place, file)


def works(place: Place, server: WebServer, superuser: str, token: str, title: str) -> None:
    """A post by way of the web server is fanned out by the worker."""
    with server.client(token) as client:
        answer = client.post(f"{POSTS}/create/", json={"title": title, "body": "of a test"})
        assert answer.status_code == 201, answer.text
    with psycopg.connect(superuser, autocommit=True) as own:
        waits = "SELECT 1 FROM lockstep_lane l JOIN posts_post p ON p.id::text = l.object_id WHERE p.title = %s"
        eventually(lambda: own.execute(waits, [title]).fetchone(), f"{title} to be fanned out")


@pytest.mark.faults
def test_a_password_is_replaced_by_way_of_a_second_role(place: Place, passwords: Passwords):
    token = place.manage("setup_testing_user").split()[-1]
    superuser = superuser_url(passwords.url)
    roles = re.findall(r"^    ((?:CREATE|ALTER) ROLE lockstep_b .+)$", document(), re.MULTILINE)
    assert len(roles) == 2
    passwords.alter(*roles)
    passwords.file.write_text("second-password")
    second = passwords.settings("lockstep_b")
    place.manage("migrate", "--verbosity=0", **second)
    place.manage("check", "--database=default", **second)
    with place.web("second", **second) as server, place.worker(**second) as worker:
        with psycopg.connect(superuser, autocommit=True) as own:
            own.execute("ALTER ROLE lockstep PASSWORD 'third-password'")
        works(place, server, superuser, token, "as the second role")
        assert worker.stop(WAIT_TIMEOUT) == 0
    passwords.file.write_text("third-password")
    first = passwords.settings("lockstep")
    with place.web("first", **first) as server, place.worker(**first):
        with psycopg.connect(superuser, autocommit=True) as own:
            own.execute("DROP ROLE lockstep_b")
        works(place, server, superuser, token, "as the first role")


@pytest.mark.faults
def test_a_password_that_was_altered_refuses_new_connections_and_the_next_start_has_the_new_one(
    place: Place, passwords: Passwords
):
    token = place.manage("setup_testing_user").split()[-1]
    superuser = superuser_url(passwords.url)
    old = passwords.settings("lockstep")
    with place.web("old", **old) as server, place.worker(**old) as worker:
        works(place, server, superuser, token, "before")
        passwords.alter("ALTER ROLE lockstep PASSWORD 'another-password'")
        with psycopg.connect(superuser, autocommit=True) as own:
            own.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'lockstep'")
        assert worker.process.wait(WAIT_TIMEOUT) == 1
        assert 'password authentication failed for user "lockstep"' in worker.said.strip().splitlines()[-1]
        with server.client(token) as client:
            answers = [
                client.post(f"{POSTS}/create/", json={"title": "refused", "body": "of a test"}) for _ in range(3)
            ]
        assert answers[-1].status_code == 503, answers[-1].text
        assert "password authentication failed" in server.log.read_text(), server.log.read_text()
    passwords.file.write_text("another-password")
    with place.web("new", **old) as server, place.worker(**old):
        works(place, server, superuser, token, "after")
