"""Tests in several processes, each on a PostgreSQL of its own, which LOCKSTEP_TEST_SERVERS names.

A plugin that is loaded before Django reads DATABASE_URL. Processes below a test must not think that they are pytest's.
"""

import os

import pytest

SERVERS = os.environ.get("LOCKSTEP_TEST_SERVERS", "").split()
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")  # gw0, gw1, …

if SERVERS and WORKER:
    os.environ["DATABASE_URL"] = SERVERS[int(WORKER.removeprefix("gw"))]
if WORKER:
    for name in (
        "LOCKSTEP_TEST_SERVERS",
        "PYTEST_XDIST_WORKER",
        "PYTEST_XDIST_WORKER_COUNT",
        "PYTEST_XDIST_TESTRUNUID",
    ):
        del os.environ[name]


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers():
    return len(SERVERS) if len(SERVERS) > 1 else 0
