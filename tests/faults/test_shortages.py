"""When PostgreSQL has no connection or no space left: a clear answer, a line in the log, and recovery by itself."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg
import pytest

from devstack.launcher import template
from devstack.launcher.postgres import Server
from tests.acceptance.running import Run, free_port
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]


def created(run: Run, token: str, title: str) -> tuple[int, dict[str, object]]:
    """Status and body of the answer to a new post."""
    body = json.dumps({"title": title, "body": "b" * 1_000}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = Request(f"http://127.0.0.1:{run.port}/fakeapi/v1/posts/create/", body, headers)
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def signed_in(run: Run) -> str:
    request = Request(
        f"http://127.0.0.1:{run.port}/auth/",
        json.dumps({"username": "admin", "password": "12345"}).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["token"])


@contextmanager
def running(folder: Path, server: Server) -> Iterator[Run]:
    run = Run(folder / "home", free_port(), DATABASE_URL=server.url)
    try:
        run.until_ready()
        yield run
    finally:
        run.end()


def pushed(url: str) -> bool:
    """Whether every post is at the provider."""
    with psycopg.connect(url, autocommit=True) as connection:
        missing = """
            SELECT EXISTS (SELECT FROM posts_post p WHERE deleted IS NULL AND NOT EXISTS (
                SELECT FROM lockstep_mirror_remoteobject r WHERE r.object_id = p.id AND r.acknowledged IS NOT NULL))
        """
        return connection.execute(missing).fetchone() == (False,)


def test_no_connection_is_left(home: Path):
    template.copy_to(home / "postgres")
    with Server(home / "postgres", durable=False) as server, running(home, server) as run:
        token = signed_in(run)
        with ExitStack() as guests:
            answer = eventually(lambda: refused(run, token, server.url, guests), "a refusal")
        assert "does not answer right now" in str(answer["detail"])
        eventually(lambda: created(run, token, "afterwards")[0] == 201, "writes to go on")
        eventually(lambda: pushed(server.url), "everything at the provider")
        assert "the database cannot be used" in run.output


def refused(run: Run, token: str, url: str, guests: ExitStack) -> dict[str, object] | None:
    """Takes every connection that there is, also those of the system itself; its answer when it has none."""
    held = []
    while True:
        try:
            held.append(guests.enter_context(psycopg.connect(url, autocommit=True)))
        except psycopg.OperationalError:
            break
    if held:
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'lockstep-%'"
        held[0].execute(end)
        return None
    status, body = created(run, token, "no connection left")
    return body if status == 503 else None


def mounted(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)


@pytest.mark.needs("mount")
@pytest.mark.faults  # `make test-images` fills the disk of a database, too
def test_no_space_is_left(home: Path):
    disk = home / "disk"
    disk.mkdir()
    mounted(disk, "300m")
    run = Run(disk / "home", free_port())
    try:
        run.until_ready()
        token = signed_in(run)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 100_000)
        answers = [created(run, token, f"{n}") for n in range(300)]
        assert 503 in {status for status, _ in answers} <= {201, 503}
        assert all("try again" in str(body["detail"]) for status, body in answers if status == 503)
        assert "has no room left" in str(answers)
        assert "No space left on device" in run.output
        filler.unlink()
        eventually(lambda: created(run, token, "afterwards")[0] == 201, "writes to go on")
        url = next(line for line in (disk / "home/environment").read_text().splitlines() if "DATABASE_URL" in line)
        eventually(lambda: pushed(url.partition("=")[2].strip("'\"")), "everything at the provider")
    finally:
        run.end()
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
