"""`make run` as a process, for tests: its output, what runs below it, and its end."""

import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import httpx
from dotenv import dotenv_values

from devstack.launcher.environment import ROOT as ROOT
from lockstep.tests.kit.ports import free_port as free_port
from lockstep.tests.kit.waiting import eventually

# The variables of the run that these tests are part of must not reach the systems that they start.
OURS = (
    *(
        "DATABASE_URL",
        "SECRET_KEY",
        "DEBUG",
        "POSTS_PROVIDER_URL",
        "PAYMENTS_URL",
        "COUNTER_URL",
        "MOVIES_PROVIDER_URL",
    ),
    *("LOCKSTEP_HOME", "PORT", "HOST", "MAKEFLAGS", "LOCKSTEP_TEST_SERVERS"),
)


# Seconds that end a test which hangs; a quiet machine needs a fraction of them.
START_SECONDS, END_SECONDS = 300.0, 60.0
LEFT_SECONDS = 2.5  # for what the system still shows: the launcher ends after its children


class Run:
    """One `make run`, its output, and the processes below it."""

    def __init__(self, home: Path, port: int | str, **environment: str) -> None:
        self.home, self.port = home, port
        inherited = {name: value for name, value in os.environ.items() if name not in OURS}
        self.environment = {**inherited, "LOCKSTEP_HOME": str(home), "PORT": str(port), **environment}
        self._lines: list[str] = []
        self.make = subprocess.Popen(
            ["make", "--no-print-directory", "run"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.make.stdout
        for line in self.make.stdout:
            self._lines.append(line)

    @property
    def output(self) -> str:
        """All that it has printed until now."""
        return "".join(self._lines)

    @property
    def url(self) -> str:
        """The address of the web server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database_url(self) -> str:
        """The address of the database, as the home has it for other commands."""
        return str(dotenv_values(self.home / "environment")["DATABASE_URL"])

    def sign_in(self, username: str = "user", password: str = "1234") -> str:
        """An opaque token of an account of development."""
        answer = httpx.post(f"{self.url}/auth/", json={"username": username, "password": password}, trust_env=False)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def status(self) -> int:
        """What /readyz answers; 0 for no answer."""
        try:
            return int(urlopen(f"{self.url}/readyz", timeout=3).status)
        except URLError as error:
            return getattr(error, "code", 0)
        except OSError:
            return 0

    def until_ready(self) -> None:
        def is_ready() -> bool:
            assert self.make.poll() is None, self.output
            return self.status() == 200 and "Ctrl-C" in self.output

        try:
            eventually(is_ready, "/readyz to answer 200", START_SECONDS)
        except AssertionError as error:
            error.add_note(self.output)
            raise

    def processes(self) -> dict[int, str]:
        """All that belongs to this home, found by what they were started with."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                surroundings = (entry / "environ").read_bytes().decode(errors="replace")
            except (OSError, ValueError):
                continue
            ours = f"LOCKSTEP_HOME={self.home}\0" in surroundings or f"{self.home}/" in command
            if ours and command and int(entry.name) != os.getpid():
                found[int(entry.name)] = command
        return found

    def find(self, words: str) -> int:
        """The oldest one with these words in its command."""
        return min(pid for pid, command in self.processes().items() if words in command)

    def kill(self, words: str) -> None:
        """kill -9 of the one with these words in its command."""
        os.kill(self.find(words), signal.SIGKILL)

    def code(self) -> int:
        """The exit code of make, once it has ended."""
        return self.make.wait(END_SECONDS)

    def none_left(self, patience: float = LEFT_SECONDS) -> None:
        eventually(lambda: not self.processes(), "all of its processes to end", patience)

    def end(self) -> None:
        if self.make.poll() is None:
            self.make.terminate()
            try:
                self.code()
            except subprocess.TimeoutExpired:
                self.make.kill()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(pid, signal.SIGKILL)
