"""What all tests share: the fixed cast, a worker beside the test, and tests that need an extra program."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth.hashers import reset_hashers
from django.db import connections
from django.test import TransactionTestCase
from pytest_django import DjangoDbBlocker

from devstack.launcher.template import TEST_DATABASE
from lockstep.changes.wakeup import commit_notifier
from lockstep.delivery.tests.support import Steps
from lockstep.tests.kit import programs
from lockstep.tests.kit.programs import Program
from lockstep.tests.kit.servers import database_url as database_url
from tests.browser.programs import axe, chromium
from tests.contract.providers import deno, node_modules
from tests.side_by_side import SERVERS
from tests.support import BackgroundWorker, Cast, draw_large_numbers, empty_tables

collect_ignore = ["lockstep/tests"]  # the engine's own, on a project of their own: make test-engine


PROMETHEUS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool", "prometheus-blackbox-exporter")
CONTAINERS = ("buildah", "podman", "runc", "mmdebstrap", "kubectl")
PROGRAMS = {
    **programs.PROGRAMS,
    "node": Program(lambda: shutil.which("node") is not None, "node is not installed"),
    "mount": Program(
        lambda: os.geteuid() == 0 and shutil.which("mount") is not None, "only root can make a small disk"
    ),
    "npm-packages": Program(
        lambda: (node_modules() / "json-server").is_dir(),
        "jsonplaceholder@0.3.3 and json-server@0.17.4 are not in .lockstep/npm; .ci/run installs them",
    ),
    "typescript": Program(
        lambda: all((node_modules() / name).is_dir() for name in ("typescript", "openapi-typescript", "openapi-fetch")),
        "typescript, openapi-typescript or openapi-fetch is not in .lockstep/npm; .ci/run installs them",
    ),
    "openssl": Program(lambda: shutil.which("openssl") is not None, "openssl is not installed"),
    "containers": Program(
        lambda: all(map(shutil.which, CONTAINERS)),
        "buildah, podman, runc, mmdebstrap or kubectl is not installed; .ci/run installs them",
    ),
    "prometheus": Program(
        lambda: all(map(shutil.which, PROMETHEUS)),
        f"one of {', '.join(PROMETHEUS)} is not installed; .ci/run installs them",
    ),
    "systemd": Program(
        lambda: shutil.which("systemd-analyze") is not None,
        "systemd-analyze is not installed; .ci/run installs it",
    ),
    "browser": Program(
        lambda: chromium() is not None and axe().exists(),
        "chromium is not installed, or axe-core is not in .lockstep/npm; .ci/run installs them",
    ),
    "mkdocs": Program(
        lambda: find_spec("mkdocs") is not None and find_spec("material") is not None,
        "mkdocs is not installed; `make docs` installs it",
    ),
    "deno": Program(lambda: deno().exists(), "deno@2.9.6 is not in .lockstep/npm; .ci/run installs it"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    programs.require(item, PROGRAMS)


# Processes that tests start send no traces, unless a test lets them.
for name in [name for name in os.environ if name.startswith("OTEL_")]:
    del os.environ[name]

TransactionTestCase._fixture_teardown = lambda _: empty_tables()
TransactionTestCase._should_reload_connections = lambda _: False  # nothing that a test leaves in its session matters


if SERVERS:

    @pytest.fixture(scope="session")
    def django_db_modify_db_settings_xdist_suffix() -> None:
        """Processes that share no server (tests/side_by_side.py) need no names of their own for their databases."""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """A copy of the template begins with the subscriptions that this code declares, not an earlier one."""
    # Where no test asks for a database, the connection is still to the one that DATABASE_URL names.
    if SERVERS and connections["default"].settings_dict["NAME"] == TEST_DATABASE:
        with django_db_blocker.unblock():
            empty_tables()
            draw_large_numbers()


@pytest.fixture(scope="session", autouse=True)
def close_commit_notifier(django_db_setup: None) -> Iterator[None]:
    """Workers are notified of commits in these tests, and a database cannot be dropped while a client is connected."""
    commit_notifier.in_tests = True
    yield
    commit_notifier.close()


@pytest.fixture
def cast(db: None) -> Cast:
    """Owner, colleague, outsider and staff, each with a bearer token."""
    return Cast.make()


@pytest.fixture
def database(transactional_db: None) -> Iterator[psycopg.Connection]:
    """A connection of its own to the test database, as psql would have one."""
    with psycopg.connect(database_url(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def steps(database: psycopg.Connection) -> Iterator[Steps]:
    """The worker's statements, one by one; the project's own subscriptions are out of the way."""
    database.execute("DELETE FROM lockstep_subscription")
    with closing(Steps(database_url())) as steps:
        yield steps


@pytest.fixture
def worker(transactional_db: None) -> Iterator[BackgroundWorker]:
    """A worker that is not started yet; stopped at the end of the test."""
    worker = BackgroundWorker()
    yield worker
    worker.stop()


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> None:
    """No test spends its time on hashing passwords. Before the first one: Django keeps the hashers that it has read."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    reset_hashers(setting="PASSWORD_HASHERS")


@pytest.fixture(autouse=True)
def test_settings() -> None:
    """No test reaches a provider that it did not start, or spends its time on listing files."""
    settings.POSTS_PROVIDER_URL = "http://127.0.0.1:9"  # nothing listens there
    settings.POSTS_PROVIDER_CONCURRENCY = 8
    settings.PAYMENTS_URL = "http://127.0.0.1:9"
    settings.MOVIES_PROVIDER_URL = "http://127.0.0.1:9"
    settings.COUNTER_URL = "http://127.0.0.1:9"
    settings.TRACES = False
    settings.WHITENOISE_AUTOREFRESH = True  # else every client begins with a list of all static files
