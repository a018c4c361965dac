"""PostgreSQL for the length of one command: `python -m devstack.launcher exec [--test-servers N] -- COMMAND …`."""

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from devstack.launcher import in_use, template
from devstack.launcher.children import tied_to_this_process
from devstack.launcher.postgres import Server

# The addresses of all test servers, blanks between them: each process of pytest-xdist takes one of its own.
TEST_SERVERS = "LOCKSTEP_TEST_SERVERS"


def run_with_database(command: list[str], test_servers: int = 0) -> int:
    """The command's exit code (128 + n when signal n ended it). A DATABASE_URL that is set stays.

    With `test_servers` there are so many servers, each with a test database in which all migrations are applied.
    """
    settings = {"DEBUG": "true", "SECRET_KEY": secrets.token_urlsafe(50), **os.environ}
    settings.pop(TEST_SERVERS, None)
    with in_use.held(f"which executes {shlex.join(command)[:200]}"):
        if os.environ.get("DATABASE_URL"):
            return _run(command, settings)
        return _run_with_servers(command, settings, test_servers)


def _run_with_servers(command: list[str], settings: dict[str, str], test_servers: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix="lockstep-"))
    folder.chmod(0o711)  # PostgreSQL's account passes through it when we are root
    try:
        with ExitStack() as stack:
            urls = _test_servers(stack, folder, test_servers) if test_servers else [_server(stack, folder / "postgres")]
            settings |= {TEST_SERVERS: " ".join(urls)} if test_servers else {}
            # Nothing of a running system's LOCKSTEP_HOME may reach the command.
            return _run(command, {**settings, "DATABASE_URL": urls[0], "LOCKSTEP_HOME": str(folder)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _test_servers(stack: ExitStack, folder: Path, number: int) -> list[str]:
    places = [folder / f"postgres-{n}" for n in range(number)]
    template.copy_to(*places)
    return [_server(stack, place) for place in places]


def _server(stack: ExitStack, place: Path) -> str:
    return stack.enter_context(Server(place, durable=False)).url


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
