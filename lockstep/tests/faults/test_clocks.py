"""A database whose clock steps, by libfaketime, under a worker: periodic work and deliveries go on at once."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from faults.articles import insert_article, subscriber
from kit.programs import libfaketime
from kit.servers import back_up, database_of, database_url
from kit.steps import Steps
from kit.waiting import eventually
from kit.workers import BackgroundWorker
from psycopg.conninfo import conninfo_to_dict

from devstack.launcher.children import Program
from devstack.launcher.postgres import Server
from lockstep.delivery import periodic
from lockstep.delivery.periodic import PeriodicWork
from lockstep.delivery.subscriptions import Claim

pytestmark = [pytest.mark.faults, pytest.mark.needs("linux"), pytest.mark.needs("libfaketime")]


class Clock(Server):
    """A server whose clock is as far from ours as a file says; its waits are as long as ever."""

    def set(self, seconds: float) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.1f}")
        new.chmod(0o644)
        new.rename(self._file)

    @property
    def _file(self) -> Path:
        return self.folder.with_name("clock")

    def program(self) -> Program:
        program = super().program()
        fake = {
            "LD_PRELOAD": str(libfaketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        return replace(program, environment={**program.environment, **fake})


@pytest.fixture
def clock(steps: Steps, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    back_up(database_url(), home / "postgres")
    server = Clock(home / "postgres", durable=False)
    server.set(0)
    with server:
        parameters = conninfo_to_dict(database_of(server, database_url()))
        monkeypatch.setattr("lockstep.delivery.database.connection_parameters", lambda: parameters)
        monkeypatch.setattr("lockstep.delivery.worker.connection_parameters", lambda: parameters)
        yield server


@pytest.mark.parametrize("step", [-3_600, -600, -2, 2, 600, 3_600])
def test_a_step_stops_nothing(
    clock: Clock,
    worker: BackgroundWorker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: float,
):
    got: list[str] = []
    ticks: list[float] = []

    async def receive(claim: Claim) -> None:
        assert claim.change.after
        got.append(claim.change.after["title"])

    async def tick(pool: Any) -> None:
        ticks.append(asyncio.get_running_loop().time())

    monkeypatch.setattr(periodic, "_registered", [PeriodicWork("tick", 1.0, tick)])
    worker.subscribers = [subscriber(handler=receive)]
    worker.start()
    eventually(lambda: ticks)
    with psycopg.connect(database_of(clock, database_url()), autocommit=True) as database:
        post = insert_article(database, "before")
        eventually(lambda: got)
        before = database.execute("SELECT clock_timestamp()").fetchone()
        clock.set(step)
        after = database.execute("SELECT clock_timestamp()").fetchone()
        assert before and after
        assert ((after[0] - before[0]).total_seconds() > step - 1) and (step > 0 or after[0] < before[0])
        done = len(ticks)
        database.execute("UPDATE blog_article SET title = 'after' WHERE id = %s", [post])
        eventually(lambda: got[-1] == "after", "a delivery")
        eventually(lambda: len(ticks) >= done + 2, "periodic work")
    worker.stop()
    told = [record.getMessage() for record in caplog.records if "clock stepped back" in record.getMessage()]
    assert len(told) == (step < 0)
