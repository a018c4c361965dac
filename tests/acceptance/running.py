"""`make run` as a process, for tests: its output, what runs below it, and its end."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from lockstep.tests.kit.ports import free_port as free_port

ROOT = Path(__file__).resolve().parents[2]
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


# Seconds in these tests are those of a quiet machine, and end a test that hangs. Any other has so many times as long.
SLACK = 5


def eventually(question: Callable[[], object], seconds: float, what: str) -> object:
    deadline = time.monotonic() + SLACK * seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {SLACK * seconds} s: {what}"
        time.sleep(0.05)
    return answer


class Run:
    """One `make run`, its output, and the processes below it."""

    def __init__(self, home: Path, port: int | str, **environment: str) -> None:
        self.home, self.port = home, port
        inherited = {name: value for name, value in os.environ.items() if name not in OURS}
        self.environment = {**inherited, "LOCKSTEP_HOME": str(home), "PORT": str(port), **environment}
        self._lines: list[str] = []
        self.started = time.monotonic()
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

    def status(self, path: str = "/readyz") -> int:
        try:
            return int(urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=3).status)
        except URLError as error:
            return getattr(error, "code", 0)
        except OSError:
            return 0

    def until_ready(self, seconds: float = 60) -> float:
        def is_ready() -> bool:
            assert self.make.poll() is None, self.output
            return self.status() == 200 and "Ctrl-C" in self.output

        eventually(is_ready, seconds, f"/readyz answers 200\n{self.output}")
        return time.monotonic() - self.started

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

    def code(self, seconds: float = 10) -> int:
        return self.make.wait(SLACK * seconds)

    def none_left(self, seconds: float = 0.5) -> None:
        eventually(lambda: not self.processes(), seconds, f"everything ended: {self.processes()}")

    def end(self) -> None:
        if self.make.poll() is None:
            self.make.terminate()
            try:
                self.code(12)
            except subprocess.TimeoutExpired:
                self.make.kill()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(pid, signal.SIGKILL)
