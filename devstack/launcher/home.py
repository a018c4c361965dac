"""LOCKSTEP_HOME: one launcher at a time, its files, and the ports that are free."""

import errno
import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from backend.web_server import can_listen
from devstack.launcher.account import open_no_link
from devstack.launcher.errors import (
    AlreadyRunning,
    BadSetting,
    HomeNotWritable,
    LauncherError,
    NoSpace,
    PortTaken,
)

# A new cluster takes 40 MB, and its write-ahead log grows before the first checkpoint recycles it.
NEEDED_AT_FIRST_MB, NEEDED_MB = 200, 20
MAX_LOG_BYTES = 10 * 1024 * 1024


class Home:
    """The folder with everything that `make run` keeps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment_file = folder / "environment"
        self.postgres = folder / "postgres"
        self.postgres_log = folder / "logs" / "postgres.log"
        self.sandbox = folder / "sandbox"
        self._lock: IO[str] | None = None

    def open(self, address: str) -> None:
        """Make the folder; hold it as long as we live. Raises AlreadyRunning, HomeNotWritable, NoSpace."""
        try:
            for folder in (self.folder, self.postgres_log.parent, self.sandbox):
                folder.mkdir(parents=True, exist_ok=True)
            self._hold(address)
            rotate(self.postgres_log)
        except OSError as error:
            raise self.explain(error) from error

    def _hold(self, address: str) -> None:
        # The kernel releases it when the process dies, however it dies; children do not inherit it.
        self._lock = open(self.folder / "lock", "a+", opener=open_no_link)  # noqa: SIM115 - held as long as we live
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(home=self.folder, by=holder(self.folder)) from error
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()} {address}\n")
        self._lock.flush()

    def require_space(self) -> None:
        if self._free_mb() < self._needed_mb():
            raise self.no_space()

    def no_space(self) -> NoSpace:
        return NoSpace(home=self.folder, free=self._free_mb(), needed=self._needed_mb())

    def _free_mb(self) -> int:
        place = self.folder.absolute()
        existing = next(folder for folder in (place, *place.parents) if is_there(folder))
        return shutil.disk_usage(existing).free // 2**20

    def _needed_mb(self) -> int:
        return NEEDED_MB if self.postgres.exists() else NEEDED_AT_FIRST_MB

    def explain(self, error: OSError) -> LauncherError:
        """The sentence for what the file system refused."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return self.no_space()
        return HomeNotWritable(home=self.folder, reason=f"{error.strerror}: {error.filename or self.folder}")

    def read_environment(self) -> dict[str, str]:
        """What the last start wrote; a damaged file counts as none, since all of it can be found again."""
        from dotenv import dotenv_values

        try:
            return {name: value for name, value in dotenv_values(self.environment_file).items() if value}
        except (OSError, UnicodeDecodeError):
            return {}

    def write_environment(self, values: Mapping[str, str]) -> None:
        """For settings.py, here and in other terminals. Whole or not at all, and for its owner only."""
        text = "# Written by `make run`, at every start. Your own values belong into .env.\n"
        text += "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())
        try:
            write_whole(self.environment_file, text)
        except OSError as error:
            raise self.explain(error) from error


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def write_whole(path: Path, text: str) -> None:
    """Replace the file atomically; its mode is 0600 from the beginning."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def is_there(path: Path) -> bool:
    """Whether this user can see such a file or folder; Path.exists raises where a folder may not be entered."""
    return os.access(path, os.F_OK)


def rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))


def holder(folder: Path) -> str:
    """The launcher that holds this home, as the tail of a sentence; empty before it has written its name."""
    words = (folder / "lock").read_text().split()
    return f": process {words[0]}, at {words[1]}" if len(words) == 2 else ""


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of this file; False without such a file."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def require_port(host: str, port: int, by: str = "another program") -> None:
    """Raises PortTaken, with `by` as the holder, or BadSetting, before anything is started for nothing."""
    try:
        can_listen(host, port)
    except socket.gaierror as error:
        raise BadSetting(name="HOST", value=host, reason=f"{error.strerror}.") from error
    except PermissionError as error:
        reason = "ports below 1024 need root. Try PORT=8000."
        raise BadSetting(name="PORT", value=port, reason=reason) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(host=host, port=port, by=by, other=port + 1 if port < 65535 else 8000) from error
        reason = f"{error.strerror}. Use 127.0.0.1, or 0.0.0.0 to listen on every address of this machine."
        raise BadSetting(name="HOST", value=host, reason=reason) from error


def free_port(preferred: int | None = None) -> int:
    """On 127.0.0.1: the preferred one when it is free, else one that the system chooses."""
    if preferred:
        try:
            can_listen("127.0.0.1", preferred)
            return preferred
        except OSError:
            pass
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def local_port(url: str) -> int | None:
    """The port of an address that an earlier start wrote, when it is on this machine."""
    try:
        parts = urlsplit(url)
        return parts.port if parts.hostname == "127.0.0.1" else None
    except ValueError:
        return None
