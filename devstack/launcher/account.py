"""The account that PostgreSQL runs as. It refuses root; as an ordinary user there is nothing to do.

Root lends it the account that owns the data folder, or `nobody`. Where the clone lies below a folder that
only root may enter, that account gets one capability, just enough to pass: nothing is copied or chmod'ed.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.launcher.errors import PostgresUnreachable

# The first that suffices. Reading and entering is enough for a clone made with the usual umask;
# with umask 077 the programs are executable for root alone.
CAPABILITIES = ("dac_read_search", "dac_override")


@dataclass(frozen=True)
class Account:
    """How to become it: by Popen itself, or, when a capability must survive, by setpriv."""

    name: str
    uid: int
    gid: int
    capability: str | None = None

    def prefix(self, death_signal: str) -> list[str]:
        if self.capability is None:
            return []
        capability = f"-all,+{self.capability}"
        return [
            "setpriv",
            f"--reuid={self.uid}",
            f"--regid={self.gid}",
            "--clear-groups",
            # PostgreSQL asks access(2) about its own files, which leaves capabilities out without this bit.
            "--securebits=+no_setuid_fixup",
            f"--inh-caps={capability}",
            f"--ambient-caps={capability}",
            # The kernel resets this signal when the account changes, so it is set again afterwards.
            f"--pdeathsig={death_signal}",
            "--",
        ]

    def popen_options(self) -> dict[str, Any]:
        if self.capability is not None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def for_postgres(folder: Path, initdb: Path) -> Account | None:
    """None unless root. Raises PostgresUnreachable when it can use the programs or the folder in no way."""
    if os.geteuid() != 0:
        return None
    plain = _owner(folder) or _unprivileged()
    reason = ""
    for account in _with_growing_rights(plain):
        reason = _refusal(account, folder.parent, initdb)
        if not reason:
            return account
    raise PostgresUnreachable(account=plain.name, paths=f"{initdb} and {folder.parent}", reason=reason)


def _owner(folder: Path) -> Account | None:
    if not folder.exists() or (uid := folder.stat().st_uid) == 0:
        return None
    return Account(owner_name(folder), uid, folder.stat().st_gid)


def _unprivileged() -> Account:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Account("nobody", 65534, 65534)
    return Account("nobody", entry.pw_uid, entry.pw_gid)


def _with_growing_rights(plain: Account) -> Iterator[Account]:
    yield plain
    if shutil.which("setpriv"):
        for capability in CAPABILITIES:
            yield Account(plain.name, plain.uid, plain.gid, capability)


def _refusal(account: Account, folder: Path, initdb: Path) -> str:
    """Empty when the account can enter the folder and run initdb, which must find and load its libraries."""
    script = ["/bin/sh", "-c", 'cd "$1" && exec "$2" --version', "sh", str(folder), str(initdb)]
    try:
        result = subprocess.run(
            [*account.prefix("KILL"), *script],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **account.popen_options(),
        )
    except OSError as error:
        return str(error)
    # initdb warns on stderr, and still ends with 0, when it may not inspect its own file.
    return "" if result.returncode == 0 and not result.stderr else result.stderr.strip()[-300:] or "no access"


def open_no_link(path: str, flags: int) -> int:
    """An `opener` for root's files in folders of others: a link is an OSError, and what it leads to is left alone."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def give(account: Account | None, *paths: Path) -> None:
    """Make the account the owner; nothing to do for an ordinary user. A link itself, never what it leads to."""
    if account:
        for path in paths:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


def give_tree(account: Account, folder: Path) -> None:
    """Make the account the owner of a folder and of all that is in it. Links are not followed, at no depth."""
    for place, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        if place == str(folder):
            os.fchown(descriptor, account.uid, account.gid)
        for name in (*folders, *files):
            os.chown(name, account.uid, account.gid, dir_fd=descriptor, follow_symlinks=False)


def owner_name(path: Path) -> str:
    uid = path.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
