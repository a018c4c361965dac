"""Tests in several processes, each on a PostgreSQL of its own.

Snapshots and pg_locks show the other databases of a cluster: two processes on one server would see each other.
`make test` starts the servers and names them in LOCKSTEP_TEST_SERVERS; `-n auto` is as many processes as there are
servers, and none without them. A plugin (`-p` in pyproject.toml) is loaded before Django reads DATABASE_URL.
"""

import gc
import os
from collections.abc import Collection
from itertools import chain
from pathlib import Path

import pytest

# Processes started by a test must not use this test's server, or behave like a process of pytest-xdist.
OURS = ("LOCKSTEP_TEST_SERVERS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID")
SERVERS = os.environ.get("LOCKSTEP_TEST_SERVERS", "").split()
WORKER = os.environ.get("PYTEST_XDIST_WORKER")  # gw0, gw1, …

if SERVERS and WORKER:
    os.environ["DATABASE_URL"] = SERVERS[int(WORKER.removeprefix("gw"))]


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    return len(SERVERS) if len(SERVERS) > 1 else 0


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if SERVERS:
        config.option.reuse_db = True  # it was made by the migrations of this very code: launcher/template.py
        # A process in place of one that died would have no server; its death is a failure anyway.
        config.option.maxworkerrestart = "0"
    if WORKER:
        for name in OURS:
            os.environ.pop(name, None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each process begins with its share of the slow tests, so that none of them is what all wait for in the end.

    pytest-xdist (`--dist worksteal`) gives each process a stretch of the list of about the same length. What a first
    start is needed for stands first in one process and last in the others: they would wait for it. Tests that share a
    running system stay together, because each process would start one of its own.
    """
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = [item for item in items if item.get_closest_marker("slow")]
    started, others = (
        [item for item in slow if ("first_home" in _fixtures(item)) is needed] for needed in (True, False)
    )
    quick = [item for item in items if not item.get_closest_marker("slow")]
    length = -(-len(quick) // processes)
    shares = ([*_share(started, others, n, processes), *quick[n * length : (n + 1) * length]] for n in range(processes))
    items[:] = chain(*shares)


def _share(started: list[pytest.Item], others: list[pytest.Item], n: int, processes: int) -> list[pytest.Item]:
    """Those of the slow tests that this process begins with."""
    places = list(dict.fromkeys(map(_place, started)))[n::processes]
    parts = [item for item in started if _place(item) in places], others[n::processes]
    return list(chain(*(parts if n == 0 else reversed(parts))))


def _place(item: pytest.Item) -> Path:
    """The file of a test, or the folder: whose tests share a running system."""
    return item.path.parent if "system" in _fixtures(item) else item.path


def _fixtures(item: pytest.Item) -> Collection[str]:
    return getattr(item, "fixturenames", ())


def pytest_collection_finish() -> None:
    """What is collected stays to the end: the collector of garbage need not look at it after each test."""
    gc.collect()
    gc.freeze()
