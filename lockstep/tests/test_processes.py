"""`manage.py lockstep worker --processes N`: it keeps its workers running, and none outlives it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from faults.processes import DJANGO, settings
from kit.servers import database_url
from kit.waiting import WAIT_TIMEOUT, eventually
from kit.workers import WorkerProcess, worker_process

from lockstep.delivery.heartbeat import worker_counts

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it finds processes through /proc"),
]

COMMAND = [*DJANGO, "lockstep", "worker", "--processes"]


def workers_of(supervisor: WorkerProcess) -> set[int]:
    """The process ids of its workers."""
    pid = supervisor.process.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[WorkerProcess]:
    """Two workers, which are ready."""
    with worker_process([*COMMAND, "2"], tmp_path, settings(database_url())) as supervisor:
        eventually(lambda: worker_counts()["moving"] == len(workers_of(supervisor)) == 2, "two workers to be ready")
        yield supervisor
        supervisor.stop(WAIT_TIMEOUT)


def test_two_workers_end_with_their_command(supervisor: WorkerProcess):
    workers = workers_of(supervisor)
    assert len(workers) == 2
    assert supervisor.stop(WAIT_TIMEOUT) == 0
    assert not any(is_alive(pid) for pid in workers)
    assert worker_counts()["moving"] == 0
    assert "Traceback" not in supervisor.said


def test_a_worker_that_is_killed_is_started_again(supervisor: WorkerProcess):
    before = workers_of(supervisor)
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: len(workers_of(supervisor) - {killed}) == 2, "another one to be started")
    assert "ended with exit code -9, and is started again" in supervisor.said
    assert supervisor.process.poll() is None


def test_no_worker_outlives_its_command(supervisor: WorkerProcess):
    workers = workers_of(supervisor)
    assert len(workers) == 2
    supervisor.process.kill()
    supervisor.process.wait()
    eventually(lambda: not any(is_alive(pid) for pid in workers), "its workers to stop")


def test_workers_that_cannot_start_end_their_command(transactional_db: None, tmp_path: Path):
    with psycopg.connect(database_url()) as connection:
        environment = settings(database_url().replace(connection.info.dbname, "no_such_database"))
    with worker_process([*COMMAND, "2"], tmp_path, environment) as supervisor:
        assert supervisor.process.wait(WAIT_TIMEOUT) == 1
    assert "when it had just started" in supervisor.said
    assert 'database "no_such_database" does not exist' in supervisor.said
    assert "Traceback" not in supervisor.said
