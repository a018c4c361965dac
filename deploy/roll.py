"""Replaces the running version of compose.production.yaml by another, without a request that fails.

    python3 deploy/roll.py [OPTION OF DOCKER COMPOSE …]

The image is LOCKSTEP_IMAGE, in .env, where every later `docker compose` finds it as well, or in the environment.

1. The new version's migrations, on which the old code goes on.
2. One web server after the other: it takes no connection any more, so that nginx turns to the other one, and finishes
   what it has; the new one takes its place, and nginx's container asks it for /readyz.
3. One worker after the other: it finishes what it has and gives its lanes back.

Where a new one does not become ready, it ends there: the other one serves, with the old version.
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from os import environ
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = shlex.split(environ.get("COMPOSE", "docker compose"))  # the program
FILES = ("--file", "compose.yaml", "--file", "compose.production.yaml")
CURL = (
    "exec",
    "--no-TTY",
    "nginx",
    "curl",
    "--silent",
    "--show-error",
    "--fail",
    "--output",
    "/dev/null",
    "--max-time",
    "3",
)
HEALTHCHECK = ("python", "-m", "backend", "healthcheck", "worker", "--ready")
# The services in the order of their replacement, and how to check that each is ready.
SERVICES = {
    "web": (*CURL, "http://web:8000/readyz"),
    "web-b": (*CURL, "http://web-b:8000/readyz"),
    "worker": ("exec", "--no-TTY", "worker", *HEALTHCHECK),
    "worker-b": ("exec", "--no-TTY", "worker-b", *HEALTHCHECK),
}
READY_SECONDS = 60.0
FORGET_SECONDS = 2.0  # after which nginx retries a server that was down (fail_timeout in nginx.conf, and some)


class NotReady(Exception):
    """A container of the new version did not become ready."""


class Roll:
    """One change of version."""

    def __init__(self, options: Sequence[str]) -> None:
        self._compose = [*COMPOSE, *FILES, *options]

    def run(self) -> None:
        """Raises NotReady, and CalledProcessError where a step fails."""
        say("migrations")
        self._do("run", "--rm", "--no-deps", "prepare", "migrate")
        for service, question in SERVICES.items():
            say(service)
            self._replace(service, question)

    def _replace(self, service: str, question: Sequence[str]) -> None:
        self._do("up", "--detach", "--no-deps", "--no-build", "--force-recreate", service)
        ends = time.monotonic() + READY_SECONDS
        while complaint := self._complaint(*question):
            if time.monotonic() > ends:
                said = f"{service} is not ready after {READY_SECONDS:g} s: {complaint}"
                raise NotReady(f"{said}\nSee its log. The rest is as it was.")
            time.sleep(0.5)
        time.sleep(FORGET_SECONDS)

    def _do(self, *words: str) -> None:
        subprocess.run([*self._compose, *words], cwd=ROOT, stdin=subprocess.DEVNULL, check=True)

    def _complaint(self, *words: str) -> str:
        """ "" when it went well; else what it said last."""
        done = subprocess.run([*self._compose, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        if not done.returncode:
            return ""
        return done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"


def say(what: str) -> None:
    """A line on how far it is."""
    sys.stdout.write(f"== {what}\n")
    sys.stdout.flush()


def main(options: Sequence[str]) -> int:
    """The exit code."""
    try:
        Roll(options).run()
    except NotReady as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"This failed, and the rest is as it was: {shlex.join(error.cmd)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
