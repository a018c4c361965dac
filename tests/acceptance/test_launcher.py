"""`make run` as a person meets it: real processes, real signals, a LOCKSTEP_HOME of its own for each test."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import httpx
import psycopg
import pytest

from devstack.launcher import in_use
from tests.acceptance.running import END_SECONDS, OURS, ROOT, Run, free_port
from tests.conftest import copied
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(**environment: str) -> Run:
        port = environment.pop("PORT", free_port())
        home = Path(environment.pop("LOCKSTEP_HOME", tmp_path / "home"))
        runs.append(Run(home, port, **environment))
        return runs[-1]

    yield start
    for one in runs:
        one.end()


@pytest.fixture(scope="module")
def shared_run(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A start takes seconds."""
    folder = tmp_path_factory.mktemp("running")
    folder.chmod(0o755)  # PostgreSQL's account passes through when we are root
    run = Run(copied(first_home, folder / "home"), free_port())
    yield run
    run.end()


@pytest.fixture
def one(shared_run: Run) -> Run:
    """One that is ready, for tests that leave it running: the test before may have killed a part of it."""
    shared_run.until_ready()
    return shared_run


def test_first_start_prints_working_commands_second_keeps_the_data_and_control_c_ends_it(
    run: Callable[..., Run],
) -> None:
    first = run()
    first.until_ready()
    lines = first.output.splitlines()
    assert "prepare  │   Applying shop.0001_initial... OK" in lines
    assert [line for line in lines if line.endswith("│ ")] == []
    commands = [line for line in lines if line.startswith(("TOKEN=", "curl "))]
    assert len(commands) == 2
    environment = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"}
    result = subprocess.run(["sh", "-c", "\n".join(commands)], capture_output=True, text=True, env=environment)
    post = json.loads(result.stdout)
    assert post["title"] == "Hello"
    seen_at = next(re.search(r"http\S+", line) for line in lines if "See it at" in line)
    assert seen_at
    eventually(lambda: "In step." in urlopen(seen_at.group(), timeout=5).read().decode(), "the post at the provider")
    first.make.send_signal(signal.SIGTERM)
    first.code()
    first.none_left()
    assert "Traceback" not in first.output

    second = run(PORT=str(first.port))
    second.until_ready()
    assert "prepare  │" not in second.output
    headers = {"Authorization": f"Bearer {second.sign_in('admin', '12345')}"}
    found = httpx.get(f"{second.url}/fakeapi/v1/posts/?_limit=1000", headers=headers, trust_env=False).json()
    assert post["id"] in [one["id"] for one in found]
    os.killpg(second.make.pid, signal.SIGINT)
    second.code()
    second.none_left()
    assert "Traceback" not in second.output


def test_a_running_system_holds_the_environment_that_it_runs_from(one: Run) -> None:
    assert any(f", on {one.home}" in line for line in in_use.running())


def test_manage_py_in_another_terminal_finds_the_same_systems(one: Run) -> None:
    script = "from django.conf import settings as s; print(s.PAYMENTS_URL, s.DATABASES['default']['PORT'])"
    environment = {"PATH": os.environ["PATH"], "LOCKSTEP_HOME": str(one.home)}
    result = subprocess.run(
        [ROOT / ".venv/bin/python", "manage.py", "shell", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    payments, port = result.stdout.split()[-2:]
    assert f":{port}/" in (one.home / "environment").read_text()
    assert f"PAYMENTS_URL='{payments}'" in (one.home / "environment").read_text()
    assert "4242424242424242" in json.load(urlopen(payments, timeout=5))["cards"]
    assert payments in one.output
    assert (one.home / "environment").stat().st_mode & 0o777 == 0o600


@pytest.mark.faults
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("target", ["launcher", "make"])
def test_a_signal_ends_everything(run: Callable[..., Run], target: str, number: signal.Signals) -> None:
    one = run()
    one.until_ready()
    pid = one.make.pid if target == "make" else one.find("-m devstack.launcher ")
    os.kill(pid, number)
    code = one.code()
    one.none_left()
    if target == "launcher":
        assert code == 0
    assert "Traceback" not in one.output


STAND_INS = ("sandbox.jsonplaceholder", "sandbox.payments", "sandbox.counter", "sandbox.november7")


def test_a_killed_child_comes_back(one: Run) -> None:
    for words in ("bin/postgres -D", "-m granian", "manage.py lockstep worker", *STAND_INS):
        old = one.find(words)
        os.kill(old, signal.SIGKILL)
        eventually(lambda words=words: any(words in command for command in one.processes().values()), words)
        eventually(lambda old=old: old not in one.processes(), f"the old one of {words} to be gone")
        eventually(lambda words=words: one.status() == 200, f"all to be ready again after {words}")
        headers = {"Authorization": f"Bearer {one.sign_in()}"}
        body = {"title": "a", "body": "b"}
        made = httpx.post(f"{one.url}/fakeapi/v1/posts/create/", json=body, headers=headers, trust_env=False)
        assert made.status_code == 201, made.text


def test_postgres_comes_back_beside_a_backend_in_a_long_query(one: Run) -> None:
    url, endless = one.database_url, "DO $$ BEGIN LOOP END LOOP; END $$"

    def occupy() -> None:
        with psycopg.connect(url) as connection, pytest.raises(psycopg.OperationalError):
            connection.execute(endless)

    def is_occupied() -> bool:
        active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = %s"
        with psycopg.connect(url) as connection:
            row = connection.execute(active, [endless]).fetchone()
        return bool(row and row[0])

    thread = threading.Thread(target=occupy, daemon=True)
    thread.start()
    eventually(is_occupied, "the query to be under way")
    os.kill(one.find("bin/postgres -D"), signal.SIGKILL)
    eventually(lambda: one.status() == 200, "all to be ready again")
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.usefixtures("home")
def test_nothing_outlives_a_killed_launcher_and_a_stale_process_number_is_no_obstacle(run: Callable[..., Run]) -> None:
    one = run()
    one.until_ready()
    pid_file = one.home / "postgres" / "postmaster.pid"
    text = pid_file.read_text()
    os.kill(one.find("-m devstack.launcher "), signal.SIGKILL)
    one.none_left(END_SECONDS)
    # As after a restart of the machine: the number belongs to another process by now, of any account.
    pid_file.write_text(f"{os.getpid()}\n" + text.split("\n", 1)[1])
    again = run(PORT=str(one.port))
    again.until_ready()


@pytest.mark.parametrize(
    "seconds",
    [1.3] + [pytest.param(moment, marks=pytest.mark.faults) for moment in (0.3, 0.8, 1.8, 2.5, 3.5, 5.0)],
)
def test_a_first_start_killed_at_any_moment_is_completed_by_the_next(run: Callable[..., Run], seconds: float) -> None:
    one = run()
    time.sleep(seconds)
    for pid in one.processes():
        os.kill(pid, signal.SIGKILL)
    again = run(PORT=str(one.port))
    again.until_ready()


class TestSentences:
    """What goes wrong is one clear sentence with a way out, exit code 1, and nothing is left running."""

    @staticmethod
    def refused(one: Run, *words: str) -> None:
        assert one.code() == 2, one.output  # make's own code for a recipe that ended with 1
        one.none_left()
        assert "Traceback" not in one.output
        for word in words:
            assert word in one.output

    def test_port_taken(self, run: Callable[..., Run]) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = listener.getsockname()[1]
            one = run(PORT=str(port))
            self.refused(one, f"port {port} on 127.0.0.1 is taken by another program", "make run")
            assert not one.home.exists()

    def test_port_taken_by_another_system_of_this_clone(self, one: Run, run: Callable[..., Run]) -> None:
        second = run(PORT=str(one.port))
        taken = f"port {one.port} on 127.0.0.1 is taken by another Lockstep of this clone: process "
        self.refused(second, taken, f"at {one.url}, on {one.home}", f"PORT={int(one.port) + 1} make run")
        assert not second.home.exists()

    @pytest.mark.parametrize("port", ["0", "65536", "eighty"])
    def test_port_that_is_none(self, run: Callable[..., Run], port: str) -> None:
        self.refused(run(PORT=port), f"PORT={port} cannot be used")

    def test_already_running(self, one: Run, run: Callable[..., Run]) -> None:
        first = one.find("-m devstack.launcher ")
        second = run(LOCKSTEP_HOME=str(one.home))
        assert second.code() == 2
        assert "already running" in second.output
        assert f"process {first}, at http://127.0.0.1:{one.port}" in second.output
        eventually(lambda: one.status() == 200, "the first to serve as before")
        assert one.find("-m devstack.launcher ") == first

    def test_database_unreachable(self, run: Callable[..., Run]) -> None:
        url = f"postgresql://me:secret@127.0.0.1:{free_port()}/x"
        one = run(DATABASE_URL=url)
        self.refused(one, "DATABASE_URL points to postgresql://me@127.0.0.1", "refused")
        assert "secret" not in one.output
        assert not one.home.exists()

    def test_home_that_is_a_file(self, run: Callable[..., Run], tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        self.refused(run(LOCKSTEP_HOME=str(tmp_path / "file" / "home")), "cannot be used as LOCKSTEP_HOME")

    def test_data_of_another_version_and_damaged_data(self, home: Path, run: Callable[..., Run]) -> None:
        data = home / "postgres"
        version = (data / "PG_VERSION").read_text()
        (data / "PG_VERSION").write_text("15\n")
        self.refused(run(), "made by PostgreSQL 15", "Nothing was touched")
        (data / "PG_VERSION").write_text(version)
        control = (data / "global" / "pg_control").read_bytes()
        (data / "global" / "pg_control").write_bytes(bytes(len(control)))
        self.refused(run(), "PostgreSQL refuses to start", str(data), "mv ")
        (data / "global" / "pg_control").write_bytes(control)
        run().until_ready()


def test_exec_lends_a_database_and_hands_on_the_exit_code() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    launcher = [ROOT / ".venv/bin/python", "-m", "devstack.launcher", "exec", "--"]
    script = "import os, psycopg; psycopg.connect(os.environ['DATABASE_URL']); print(os.environ['LOCKSTEP_HOME'])"
    command = [*launcher, ROOT / ".venv/bin/python", "-c", f"{script}; raise SystemExit(7)"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 7, result.stderr
    assert not Path(result.stdout.strip()).exists()


def test_exec_lends_migrated_test_servers() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    script = """if True:
        import os, psycopg
        for url in os.environ["LOCKSTEP_TEST_SERVERS"].split():
            with psycopg.connect(url, dbname="test_lockstep") as connection:
                migrated = connection.execute("SELECT count(*) > 0 FROM django_migrations").fetchone()
                print(connection.info.port, *migrated)
    """
    command = [ROOT / ".venv/bin/python", "-m", "devstack.launcher", "exec", "--test-servers", "2", "--"]
    command += [ROOT / ".venv/bin/python", "-c", script]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (one, migrated), (another, migrated_too) = (line.split() for line in result.stdout.splitlines())
    assert one != another
    assert migrated == migrated_too == "True"
