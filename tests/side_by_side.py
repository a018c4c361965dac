"""Tests in several processes, each on a PostgreSQL of its own.

Snapshots and pg_locks show the other databases of a cluster: two processes on one server would see each other.
`make test` starts the servers and names them in LOCKSTEP_TEST_SERVERS; `-n auto` is as many processes as there are
servers, and none without them. A plugin (`-p` in pyproject.toml) is loaded before Django reads DATABASE_URL.
"""

import gc
import os
from collections.abc import Collection
from itertools import chain, groupby
from pathlib import Path

import pytest

# Processes started by a test must not use this test's server, or behave like a process of pytest-xdist.
OURS = ("LOCKSTEP_TEST_SERVERS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID")
SERVERS = os.environ.get("LOCKSTEP_TEST_SERVERS", "").split()
WORKER = os.environ.get("PYTEST_XDIST_WORKER")  # gw0, gw1, …
# The part of the quick tests among which the slow ones stand. Those that are left are what processes take from each
# other in the end.
EARLY = 0.8

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
    """Each process has its share of the slow tests among the quick ones, and none of them near the end.

    Slow tests wait more than they compute, quick ones compute: side by side they leave no processor idle, one kind
    after the other does. And no slow test is what all wait for in the end.

    pytest-xdist (`--dist worksteal`) gives each process a stretch of the list of about the same length. What a first
    start is needed for stands first in one process and later in the others: they would wait for it. Tests that share
    a running system stay together, because each process would start one of its own.
    """
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = [item for item in items if item.get_closest_marker("slow")]
    started, others = (
        [item for item in slow if ("first_home" in _fixtures(item)) is needed] for needed in (True, False)
    )
    quick = [item for item in items if not item.get_closest_marker("slow")]
    length = -(-len(quick) // processes)
    shares = (
        _spread(_share(started, others, n, processes), quick[n * length : (n + 1) * length]) for n in range(processes)
    )
    items[:] = chain(*shares)


def _share(started: list[pytest.Item], others: list[pytest.Item], n: int, processes: int) -> list[pytest.Item]:
    """The slow tests of this process."""
    places = list(dict.fromkeys(map(_place, started)))[n::processes]
    own, rest = [item for item in started if _place(item) in places], others[n::processes]
    before = 0 if n == 0 else len(rest) // 3
    return [*rest[:before], *own, *rest[before:]]


def _spread(slow: list[pytest.Item], quick: list[pytest.Item]) -> list[pytest.Item]:
    """The slow tests evenly among the first of the quick ones, file by file: fixtures of a file are made once."""
    groups = [list(group) for _, group in groupby(slow, _place)]
    spread: list[pytest.Item] = []
    placed = passed = 0
    for _, group in groupby(quick, _place):
        due = 1 + int(len(groups) * passed / (EARLY * len(quick)))
        spread += chain(*groups[placed:due])
        placed = max(placed, due)
        file = list(group)
        spread += file
        passed += len(file)
    return [*chain(*groups[placed:]), *spread]


def _place(item: pytest.Item) -> Path:
    """The file of a test, or the folder: whose tests share a running system."""
    return item.path.parent if "system" in _fixtures(item) else item.path


def _fixtures(item: pytest.Item) -> Collection[str]:
    return getattr(item, "fixturenames", ())


def pytest_collection_finish() -> None:
    """What is collected stays to the end: the collector of garbage need not look at it after each test."""
    gc.collect()
    gc.freeze()
