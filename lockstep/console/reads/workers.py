"""Workers, periodic work and recorded operations (sql/workers.sql)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from lockstep import console
from lockstep.conf import log_connection
from lockstep.delivery.heartbeat import MISSED_SECONDS, STALLED_SECONDS
from lockstep.delivery.periodic import overdue, registered_work
from lockstep.sql import statements

SQL = statements(console.__file__, "workers")

WorkerState = Literal["moving", "hanging", "silent", "gone"]


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker: when it last showed life, and what it says of its stalled parts."""

    id: UUID
    seen: datetime
    complaint: str
    age: float

    @property
    def state(self) -> WorkerState:
        """As the metrics have it: a beat within ten seconds, with a complaint or without, and silence after it."""
        if abs(self.age) > MISSED_SECONDS:
            return "gone"
        if abs(self.age) > STALLED_SECONDS:
            return "silent"
        return "hanging" if self.complaint else "moving"


@dataclass(frozen=True, slots=True)
class PeriodicRow:
    """One piece of periodic work. `every` is None for work on request; `last` is when it was last begun."""

    name: str
    every: float | None
    next_at: datetime | None
    is_late: bool

    @property
    def last(self) -> datetime | None:
        """When a worker last took it; None before, and for work on request."""
        return self.next_at - timedelta(seconds=self.every) if self.next_at and self.every else None


@dataclass(frozen=True, slots=True)
class OperationRow:
    """One recorded operation."""

    id: UUID
    at: datetime
    actor: str
    kind: str
    subscription: str
    parameters: Mapping[str, Any]
    outcome: str


def read_workers() -> list[WorkerRow]:
    """The workers, the latest beat first."""
    with log_connection().cursor() as cursor:
        cursor.execute(SQL["workers"])
        return [WorkerRow(*row) for row in cursor.fetchall()]


def read_periodic() -> list[PeriodicRow]:
    """The periodic work of this project, by name."""
    late = set(overdue())
    with log_connection().cursor() as cursor:
        cursor.execute(SQL["periodic"])
        due: dict[str, datetime | None] = dict(cursor.fetchall())
    work = sorted(registered_work(), key=lambda each: each.name)
    return [PeriodicRow(each.name, each.every, due.get(each.name), each.name in late) for each in work]


def read_operations(
    *, before: UUID | None, subscription: str | None, by_owner: bool | None, limit: int
) -> list[OperationRow]:
    """Recorded operations, the latest first, from the one before `before` on. Without `by_owner` those of all."""
    found = {"before": before, "subscription": subscription, "by_owner": by_owner, "limit": limit}
    with log_connection().cursor() as cursor:
        cursor.execute(SQL["operations"], found)
        rows = cursor.fetchall()
    return [
        OperationRow(id, at, actor, kind, subscription, json.loads(parameters), outcome)
        for id, at, actor, kind, subscription, parameters, outcome in rows
    ]
