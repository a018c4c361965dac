"""Runs and their differences (sql/runs.sql)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from lockstep.conf import lockstep_settings
from lockstep.console.models import Run
from lockstep.console.reads.rows import read_rows
from lockstep.console.runs import SQL


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in a list."""

    id: UUID
    kind: str
    state: str
    actor: str
    requested_at: datetime
    began: datetime | None
    ended: datetime | None
    outcome: str

    @property
    def is_open(self) -> bool:
        return self.state in Run.OPEN

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return (self.ended - self.began).total_seconds() if self.began and self.ended else None


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field of the provider's object and of ours; None for nothing."""

    name: str
    there: object
    here: object


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """One difference of a run."""

    number: int
    kind: str
    collection: str
    model: str
    object_id: str
    name: str
    remote_id: str
    fields: Sequence[FieldDifference]
    is_own: bool
    outcome: str
    failed: bool


@dataclass(frozen=True, slots=True)
class DifferenceFilter:
    """A selection of differences; None is everything."""

    kind: str | None = None
    collection: str | None = None
    field: str | None = None
    key: str | None = None
    is_own: bool | None = None
    result: str | None = None


def run_of(key: UUID) -> Run | None:
    """One run, with its plan."""
    return Run.objects.using(lockstep_settings.DATABASE).select_related("plan").filter(pk=key).first()


def newer_plan(run: Run) -> UUID | None:
    """A later plan of the same mirror that is done, if any."""
    plans = Run.objects.using(lockstep_settings.DATABASE).filter(mirror=run.mirror, kind=Run.Kind.PLAN)
    return plans.filter(state=Run.State.DONE, pk__gt=run.pk).order_by("-pk").values_list("pk", flat=True).first()


def read_runs(mirror: str, *, before: UUID | None, limit: int) -> list[RunRow]:
    """The runs of a mirror, or the audits (""), the latest first."""
    return [RunRow(*row) for row in read_rows(SQL["runs"], mirror=mirror, before=before, limit=limit)]


def latest_runs(mirrors: Iterable[str]) -> Mapping[str, RunRow]:
    """The latest run of each of these mirrors."""
    return {mirror: RunRow(*row) for mirror, *row in read_rows(SQL["latest"], mirrors=list(mirrors))}


def read_differences(run: UUID, chosen: DifferenceFilter, *, after: int, limit: int) -> list[DifferenceRow]:
    """The differences of a run after a number."""
    given = {name: getattr(chosen, name) for name in DifferenceFilter.__dataclass_fields__}
    rows = []
    for *columns, fields, is_own, outcome, failed in read_rows(
        SQL["differences"], run=run, after=after, limit=limit, **given
    ):
        found = [FieldDifference(each["field"], each["there"], each["here"]) for each in json.loads(fields)]
        rows.append(DifferenceRow(*(*columns, found, is_own, outcome, failed)))
    return rows
