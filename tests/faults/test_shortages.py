"""When PostgreSQL has no connection or no space left: a clear answer, a line in the log, and recovery by itself."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from devstack.launcher import template
from devstack.launcher.postgres import Server
from tests.acceptance.running import Run, free_port
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]


def created(run: Run, token: str, title: str) -> tuple[int, dict[str, object]]:
    """Status and body of the answer to a new post."""
    body, headers = {"title": title, "body": "b" * 1_000}, {"Authorization": f"Bearer {token}"}
    path = "/fakeapi/v1/posts/create/"
    answer = httpx.post(f"{run.url}{path}", json=body, headers=headers, timeout=30, trust_env=False)
    return answer.status_code, answer.json()


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
        token = run.sign_in()
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
        token = run.sign_in()
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 100_000)
        answers = [created(run, token, f"{n}") for n in range(300)]
        assert 503 in {status for status, _ in answers} <= {201, 503}
        assert all("try again" in str(body["detail"]) for status, body in answers if status == 503)
        assert "no disk space left" in str(answers)
        assert "No space left on device" in run.output
        filler.unlink()
        eventually(lambda: created(run, token, "afterwards")[0] == 201, "writes to go on")
        eventually(lambda: pushed(run.database_url), "everything at the provider")
    finally:
        run.end()
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
