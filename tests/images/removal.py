"""Removes what a run leaves, however it ends: python -m tests.images.removal

The other end of its input is held by the process of the tests alone, and closed when that is killed as well. Each line
says what to remove then, the last one first: `project NAME`, `container NAME`, `pod NAME`, `mount PATH`. Mostly all of
it is gone already.
"""

import os
import subprocess
import sys
from collections.abc import Mapping

REMOVE = ("rm", "--force", "--ignore", "--time=0")  # without time to end by itself: nothing of it is kept


def main() -> None:
    """Waits for the end of its input."""
    for line in reversed(sys.stdin.read().splitlines()):
        kind, _, name = line.partition(" ")
        try:
            remove(kind, name)
        except subprocess.CalledProcessError as error:  # the others go all the same
            sys.stderr.write(f"{line}: {error.stderr}\n")


def remove(kind: str, name: str) -> None:
    """One of them. Raises CalledProcessError."""
    match kind:
        case "project":
            remove_project(name, os.environ)
        case "container":
            _do(os.environ, "podman", *REMOVE, "--volumes", name)
        case "pod":
            _do(os.environ, "podman", "pod", *REMOVE, name)
        case "mount" if os.path.ismount(name):
            _do(os.environ, "umount", "--lazy", name)


def remove_project(name: str, environment: Mapping[str, str]) -> None:
    """All of docker compose's project, its volumes and what `run` made too.

    Raises CalledProcessError. Not by `docker compose down`: that leaves what `run` made for a service with a profile,
    and needs podman's service, which ends with the tests.
    """
    mine = f"--filter=label=com.docker.compose.project={name}"
    for found, remove in (
        (("container", "ls", "--all"), (*REMOVE, "--volumes")),
        (("network", "ls"), ("network", "rm", "--force")),
        (("volume", "ls"), ("volume", "rm", "--force")),
    ):
        if names := _do(environment, "podman", *found, "--quiet", mine).split():
            _do(environment, "podman", *remove, *names)


def _do(environment: Mapping[str, str], *words: str) -> str:
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
