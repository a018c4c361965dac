"""Runs: long work that operators request, and workers claim and do (sql/runs.sql).

A page requests one and shows its progress; no web thread waits. A worker holds a run by a lease that it renews every
second. When the worker ends, a plan or an audit is claimed again; an application, which has changed something, is said
to be interrupted.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from django.db import connections
from psycopg.types.json import Jsonb

from lockstep.changes.database_errors import is_transient
from lockstep.conf import lockstep_settings
from lockstep.delivery.database import open_pool
from lockstep.delivery.operations import WrongState
from lockstep.delivery.periodic import UPKEEP
from lockstep.delivery.subscriptions import Pool
from lockstep.delivery.values import as_json, storable
from lockstep.sql import statements

SQL = statements(__file__, "runs")

WORK = "console-runs"
POLL_SECONDS = 5.0  # between polls for runs of which no worker was notified, such as those of a worker that is gone
LEASE: dict[str, Any] = {"lease": timedelta(seconds=30)}
AT_ONCE: dict[str, Any] = {"name": WORK, "delay": timedelta(0)}  # the stubs know no intervals
BEAT_SECONDS = 1.0
MAX_ATTEMPTS = 3
CONNECTIONS = 4  # of a run, beside those of pushes
KEPT = 5  # runs of a kind for each mirror, with up to MAX_DIFFERENCES each
MAX_DIFFERENCES = 10_000  # of a run that are kept
BATCH = 200  # differences of one statement

logger = logging.getLogger(__name__)

Kind = Literal["plan", "apply", "audit"]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that this worker holds."""

    id: UUID
    kind: Kind
    mirror: str
    plan: UUID | None
    parameters: Mapping[str, Any]
    attempts: int

    @property
    def key(self) -> dict[str, object]:
        """The parameters of statements that only the holder executes."""
        return {"id": self.id, "attempts": self.attempts}


@dataclass
class Progress:
    """How far a run is. `noted` are outcomes of differences that are not stored yet."""

    step: str = ""
    done: int = 0
    total: int | None = None
    noted: list[dict[str, object]] = field(default_factory=list)

    def begin(self, step: str, total: int | None = None) -> None:
        """Begins the next step."""
        self.step, self.done, self.total = step, 0, total

    def note(self, number: int, outcome: str, *, failed: bool = False) -> None:
        """Notes what came of a difference."""
        self.noted.append({"number": number, "outcome": outcome, "failed": failed})


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: as a sentence, and with figures for its page."""

    outcome: str
    summary: Mapping[str, object]


class RunFailed(Exception):
    """The run cannot be carried out; the message says why."""


Work = Callable[[Claimed, Pool, Progress], Awaitable[RunResult]]


def request_run(
    kind: Kind,
    *,
    actor: str,
    mirror: str = "",
    plan: UUID | None = None,
    parameters: Mapping[str, object] | None = None,
) -> UUID:
    """Requests a run, in the surrounding transaction.

    Raises WrongState while another of the same mirror is open, and where the plan was removed meanwhile.
    """
    database = lockstep_settings.DATABASE
    chosen: dict[str, Any] = {"kind": kind, "mirror": mirror, "plan": plan, "actor": actor, "kept": KEPT}
    with connections[database].cursor() as cursor:
        if plan is not None:
            cursor.execute(SQL["keep"], chosen)
            if cursor.fetchone() is None:
                raise WrongState("The plan is gone: only the latest ones are kept. Plan again.")
        cursor.execute(SQL["remove_old"], chosen)
        cursor.execute(SQL["request"], chosen | {"parameters": json.dumps(dict(parameters or {}))})
        row = cursor.fetchone()
        if row is None:
            what = f"of {mirror}" if mirror else "of the audit"
            raise WrongState(f"Another run {what} has not ended yet. Look at it first.")
        cursor.execute(UPKEEP["request_periodic"], AT_ONCE)
    found: UUID = row[0]
    return found


_tasks: set[asyncio.Task[None]] = set()


async def start_waiting_runs(pool: Pool) -> None:
    """Periodic work: ends lost runs, and begins those that wait, each beside the other work of this worker."""
    async with pool.connection() as connection:
        await connection.execute(SQL["end_lost"], LEASE | {"most": MAX_ATTEMPTS})
        cursor = await connection.execute(SQL["claim"], LEASE)
        claimed = [Claimed(*row) for row in await cursor.fetchall()]
    for run in claimed:
        task = asyncio.create_task(_carry_out(run))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)


async def add_differences(pool: Pool, run: Claimed, batch: list[dict[str, object]]) -> None:
    """Stores differences that the run has found."""
    async with pool.connection() as connection:
        await connection.execute(SQL["add_differences"], run.key | {"batch": Jsonb(batch, as_json)})


async def _carry_out(run: Claimed) -> None:
    """Does a run while its lease holds. What the database refuses is logged, and the run is claimed again."""
    try:
        work, size = _work_of(run)
        async with open_pool(size + CONNECTIONS) as pool:
            await _hold(run, pool, work)
    except Exception:
        logger.exception("the run %s (%s %s) has no end", run.id, run.kind, run.mirror)


async def _hold(run: Claimed, pool: Pool, work: Work) -> None:
    """Renews the lease while the work goes on, and stores how it ended; ends the work when the lease is lost."""
    progress = Progress()
    working = asyncio.ensure_future(_result_of(run, work, pool, progress))
    renewed = time.monotonic()
    try:
        while not working.done():
            await asyncio.wait({working}, timeout=BEAT_SECONDS)
            try:
                is_held = await _renew(run, pool, progress)
            except Exception as error:
                if not is_transient(error) or time.monotonic() - renewed > LEASE["lease"].total_seconds():
                    raise
                continue  # the lease still holds: a fail-over of seconds does not interrupt an application
            renewed = time.monotonic()
            if not is_held:
                logger.warning("the run %s (%s %s) was lost to another worker", run.id, run.kind, run.mirror)
                return
        state, result = working.result()
        if progress.noted and not await _renew(run, pool, progress):
            return
        async with pool.connection() as connection:
            outcome, summary = storable(result.outcome), Jsonb(dict(result.summary), as_json)
            how = {"state": state, "outcome": outcome, "summary": summary}
            await connection.execute(SQL["finish"], run.key | how | {"done": progress.done, "total": progress.total})
    finally:
        working.cancel()
        await asyncio.wait({working})


async def _result_of(run: Claimed, work: Work, pool: Pool, progress: Progress) -> tuple[str, RunResult]:
    """The state and the end of the run."""
    try:
        return "done", await work(run, pool, progress)
    except RunFailed as error:
        return "failed", RunResult(str(error), {})
    except Exception as error:
        logger.exception("the run %s (%s %s) failed", run.id, run.kind, run.mirror)
        return "failed", RunResult(f"It failed: {type(error).__name__}. The worker's log has more.", {})


async def _renew(run: Claimed, pool: Pool, progress: Progress) -> bool:
    """Renews the lease, and stores the progress. Returns whether the run is still held."""
    noted = list(progress.noted)
    async with pool.connection() as connection:
        if noted:
            await connection.execute(SQL["note_outcomes"], {"id": run.id, "batch": Jsonb(noted, as_json)})
            del progress.noted[: len(noted)]  # not before: they are noted again where this has failed
        how = {"step": storable(progress.step), "done": progress.done, "total": progress.total}
        cursor = await connection.execute(SQL["renew"], run.key | LEASE | how)
        return await cursor.fetchone() is not None


def _work_of(run: Claimed) -> tuple[Work, int]:
    """The function that does the run, and how many connections its pushes need."""
    if run.kind == "audit":
        from lockstep.console.audit_runs import make_audit

        return make_audit, 0
    # The mirror is an extra with packages of its own.
    from lockstep.console.mirror_runs import apply_plan, connections_of, make_plan

    return (apply_plan if run.kind == "apply" else make_plan), connections_of(run.mirror)
