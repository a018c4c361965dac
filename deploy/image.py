"""`make image`: builds the image of deploy/Dockerfile with docker, podman or buildah, whichever is there.

IMAGE           its name (lockstep:local)
BASE            another base image than the Dockerfile names
BUILDER         which of them to use
BUILD_OPTIONS   more words for it, as --platform linux/arm64
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILDERS = {"docker": ("build",), "podman": ("build",), "buildah": ("build", "--layers")}


def command(environment: Mapping[str, str], builder: str, target: str | None = None) -> list[str]:
    """The builder with its arguments; `target` is a stage of the Dockerfile, whose name the image's gets behind it."""
    name = environment.get("IMAGE") or "lockstep:local"
    words = [builder, *BUILDERS[builder], "--file", "deploy/Dockerfile"]
    words += ["--tag", f"{name}-{target}", "--target", target] if target else ["--tag", name]
    words += ["--build-arg", f"REVISION={_revision()}"]
    if base := environment.get("BASE"):
        words += ["--build-arg", f"BASE={base}"]
    if builder != "docker":
        words += ["--format", "docker"]  # the default format of podman has no health checks
    return [*words, *shlex.split(environment.get("BUILD_OPTIONS", "")), "."]


def builder_of(environment: Mapping[str, str]) -> str | None:
    """The program that builds; None when there is none. A docker without an engine is none."""
    if wanted := environment.get("BUILDER"):
        return wanted if wanted in BUILDERS and shutil.which(wanted) else None
    return next((name for name in BUILDERS if shutil.which(name) and _works(name)), None)


def _works(name: str) -> bool:
    return subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0


def _revision() -> str:
    words = ["git", "describe", "--always", "--dirty"]
    try:
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no repository, as in an archive of it
        return "unknown"


def main(targets: list[str]) -> int:
    """The builder's exit code."""
    builder = builder_of(os.environ)
    if builder is None:
        sys.stderr.write("An image is built by docker, podman or buildah: install one, or name it in BUILDER.\n")
        return 1
    return subprocess.run(command(os.environ, builder, *targets), cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
