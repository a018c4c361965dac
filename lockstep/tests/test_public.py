"""The public face: what is exported, and what importing it brings along."""

import dataclasses
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files

import lockstep
from lockstep.version import VERSION

EXPORTED = {
    "EVERYBODY", "STAFF", "Change", "DependencyPending", "Rejected", "RetryLater", "Skipped", "Unreachable",
    "Visibility", "attributed", "capture", "current_attribution", "history", "resource", "subscriber", "subscription",
    "resync", "uncaptured",
}  # fmt: skip


def test_exported_names_are_these():
    assert set(lockstep.__all__) == EXPORTED
    assert all(getattr(lockstep, name) is not None for name in EXPORTED)


def test_version_is_that_of_the_distribution():
    assert version("django-lockstep") == VERSION


def test_a_delivered_change_begins_with_the_columns_of_the_log():
    from lockstep.models import LoggedChange

    columns = [field.name for field in LoggedChange._meta.concrete_fields]
    assert [field.name for field in dataclasses.fields(lockstep.Change)][: len(columns)] == columns


def test_the_core_imports_no_extra():
    program = (
        "import django, sys; django.setup(); import lockstep.delivery.process, lockstep.testing, lockstep.middleware;"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    imported = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    extras = {
        "rest_framework",
        "aiohttp",
        "rich",
        "prometheus_client",
        "httpx",
        "orjson",
        "cryptography",
        "opentelemetry",
    }
    assert imported & extras == set()


def test_the_wheel_has_types_and_no_tests():
    assert files("lockstep").joinpath("py.typed").is_file()
    assert not files("lockstep.delivery").joinpath("tests").is_dir()
