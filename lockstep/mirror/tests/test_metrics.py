"""What /metrics says of mirrors."""

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from lockstep.mirror.models import DriftCheck, MirrorState


@pytest.fixture(autouse=True)
def development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DEBUG", True)


def figures(client: Client) -> list[str]:
    lines = client.get("/metrics").content.decode().splitlines()
    return [line for line in lines if line.startswith("lockstep_mirror_")]


def test_a_mirror_without_a_drift_check_has_metrics(client: Client, db: None):
    assert figures(client) == [
        'lockstep_mirror_stopped{provider="jsonplaceholder"} 0.0',
        'lockstep_mirror_drift_objects{provider="jsonplaceholder"} 0.0',
    ]


def test_a_stop_and_the_last_drift_check_are_shown(client: Client, transactional_db: None):
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone()
    MirrorState.objects.create(provider="jsonplaceholder", stopped_at=now, reason="199 to create, at most 100")
    DriftCheck.objects.create(provider="jsonplaceholder", counts={"create": 50})
    DriftCheck.objects.create(provider="jsonplaceholder", counts={"create": 2, "delete": 1})
    assert figures(client) == [
        'lockstep_mirror_stopped{provider="jsonplaceholder"} 1.0',
        'lockstep_mirror_drift_objects{provider="jsonplaceholder"} 3.0',
    ]
