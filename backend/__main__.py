"""The processes of a deployment, a word for each: `python -m backend web`.

    web                         the web server at HOST and PORT
    worker                      a worker, or WORKER_PROCESSES of them
    migrate                     brings the database to where the code is
    prepare                     the same, with development accounts, their token and the first import
    healthcheck [web|worker]    whether that process answers, on this machine or in this container;
                                with --ready, whether it does its work
    stand-in NAME               of a remote system: posts, payments, counter, movies (--host, --port, --folder)
    ANYTHING ELSE               a command of manage.py

Images, manifests and units name these words alone; which modules and commands stand behind them is here alone.
"""

import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from dotenv import load_dotenv

from backend import web_server

ROOT = Path(__file__).resolve().parents[1]
HEALTH_SECONDS = 5.0
MAX_PORT, MAX_PROCESSES = 65_535, 256
LAST_SECONDS = 5.0  # for requests in flight: with WEB_DRAIN_SECONDS below the time after which containers are killed


def main(words: Sequence[str]) -> int:
    """Becomes the process, or returns the exit code."""
    load_dotenv(ROOT / ".env")
    match words:
        case ["web"]:
            return web()
        case ["worker"]:
            os.environ.setdefault("LOG_STREAM", "stdout")
            return command("lockstep", "worker", "--processes", str(_whole("WORKER_PROCESSES", 1, 1, MAX_PROCESSES)))
        case ["prepare"]:
            return module("backend.prepare", "--token")
        case ["stand-in", *options]:
            return module("devstack.sandbox", *options)
        case ["healthcheck", *options] if set(options) <= {"web", "worker", "--ready"}:
            return healthcheck("worker" if "worker" in options else "web", "--ready" in options)
        case []:
            sys.stderr.write(f"{__doc__}\n")
            return 2
        case _:
            return command(*words)


def web() -> int:
    """Becomes the web server at HOST and PORT, with WEB_PROCESSES processes, whose metrics are added up."""
    for name, value in {"LOG_STREAM": "stdout", **web_server.ENVIRONMENT}.items():
        os.environ.setdefault(name, value)
    host, port = os.environ.get("HOST", "").strip() or "127.0.0.1", _whole("PORT", 8000, 1, MAX_PORT)
    processes = _whole("WEB_PROCESSES", web_server.cores(), 1, MAX_PROCESSES)
    drain_seconds = _number("WEB_DRAIN_SECONDS", 0, 0, web_server.MAX_DRAIN_SECONDS)
    require_fit(host, port)
    if processes > 1:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="lockstep-metrics-")
    return become(
        web_server.command(
            sys.executable,
            host=web_server.numeric(host),
            port=port,
            workers=processes,
            drain_seconds=drain_seconds,
            last_seconds=LAST_SECONDS,
        )
    )


def require_fit(host: str, port: int) -> None:
    """Ends with one sentence where the web server could not listen, or may not use its settings or its database.

    Its processes would say the same, each; they would be started again without end where starting takes long.
    """
    try:
        web_server.can_listen(host, port)
    except OSError as error:
        sys.exit(f"Lockstep cannot start: it cannot listen at HOST {host!r} and PORT {port}: {error.strerror}.")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.config.settings")
    import django
    from django.core.exceptions import ImproperlyConfigured
    from environs import EnvError

    try:
        django.setup(set_prefix=False)
        from backend.accounts.checks import refuse_development_accounts
        from backend.entities.deployment import refuse_unfit_deployment
        from lockstep.rest.connections import refuse_unsuitable_database

        refuse_unfit_deployment()
        refuse_unsuitable_database()
        refuse_development_accounts()
    except (ImproperlyConfigured, EnvError) as error:
        sys.exit(f"Lockstep cannot start: {error}")


def command(*words: str) -> int:
    """Becomes a command of manage.py."""
    return become([sys.executable, str(ROOT / "manage.py"), *words])


def module(name: str, *words: str) -> int:
    """Becomes a module that is a program."""
    return become([sys.executable, "-m", name, *words])


def become(program: list[str]) -> int:
    """Replaces this process: signals reach the program itself."""
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execv(program[0], program)  # noqa: S606 - that is the point


def healthcheck(role: str, ready: bool) -> int:
    """0 while the process of this role lives, or is ready; 1 and the reason otherwise."""
    name, default = ("PORT", 8000) if role == "web" else ("WORKER_METRICS_PORT", 0)
    port = _whole(name, default, min(default, 1), MAX_PORT)
    if not port:
        sys.stderr.write("The worker has no WORKER_METRICS_PORT: set one, and it answers there.\n")
        return 1
    try:
        probe = f"http://127.0.0.1:{port}/{'readyz' if ready else 'healthz'}"
        build_opener(ProxyHandler({})).open(probe, timeout=HEALTH_SECONDS).close()
    except HTTPError as error:
        sys.stderr.write(f"{error.code} {error.read(1_000).decode(errors='replace')}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _whole(name: str, default: int, least: int, most: int) -> int:
    return int(_number(name, default, least, most, int))


def _number(name: str, default: float, least: float, most: float, read: Callable[[str], float] = float) -> float:
    """A number of the environment within these bounds; ends with a sentence where it is none."""
    text = os.environ.get(name, "").strip()
    try:
        number = read(text) if text else default
    except ValueError:
        number = math.nan
    if not least <= number <= most:  # NaN is not, either
        sys.exit(f"Lockstep cannot start: {name} must be a number from {least:g} to {most:g}, and {text!r} is none.")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
