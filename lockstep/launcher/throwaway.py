"""A PostgreSQL for the length of one command: `python -m lockstep.launcher exec -- COMMAND …`."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lockstep.launcher.children import tied_to_this_process
from lockstep.launcher.postgres import Server


def run_with_database(command: list[str]) -> int:
    """The command's exit code (128 + n when signal n ended it). A DATABASE_URL that is set stays."""
    settings = {"DEBUG": "true", "SECRET_KEY": secrets.token_urlsafe(50), **os.environ}
    if os.environ.get("DATABASE_URL"):
        return _run(command, settings)
    folder = Path(tempfile.mkdtemp(prefix="lockstep-"))
    folder.chmod(0o711)  # PostgreSQL's account passes through it when we are root
    try:
        with Server(folder / "postgres", durable=False) as server:
            # Nothing of a running system's LOCKSTEP_HOME may reach the command.
            return _run(command, {**settings, "DATABASE_URL": server.url, "LOCKSTEP_HOME": str(folder)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], environment: Mapping[str, str]) -> int:
    """It shares our process group: Ctrl-C reaches it directly, and it alone decides what that means."""
    try:
        process = subprocess.Popen(command, env=environment, preexec_fn=tied_to_this_process(signal.SIGTERM))
    except OSError as error:
        os.write(2, f"lockstep: {command[0]}: {error.strerror}\n".encode())
        return 127
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    code = process.wait()
    return code if code >= 0 else 128 - code
