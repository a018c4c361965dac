import sys
from dataclasses import asdict
from typing import IO, cast

from django.conf import settings
from django.core.management.base import CommandError
from rich.console import Console
from rich.table import Table

from backend.defects.broadcast import NAME
from backend.defects.gap import Line, compare, counted_tallies, expected_tallies
from lockstep.changes import commands
from lockstep.changes.commands import counted
from lockstep.delivery import operations
from lockstep.delivery.reports import Status
from lockstep.http.errors import ProviderError


class Command(commands.Command):
    help = "Compares the counter's tallies of defects with the expected ones; exits with 2 if they differ."

    def handle(self, **options: object) -> None:
        if not settings.COUNTER_URL:
            raise CommandError("No counter is configured: set COUNTER_URL.")
        try:
            tallies = counted_tallies()
        except ProviderError as error:
            raise CommandError(f"The counter at {settings.COUNTER_URL} cannot be read: {error}") from error
        lines = compare(expected_tallies(), tallies)
        if not self.is_json:
            Console(file=cast("IO[str]", self.stdout._out)).print(_table(lines))
        rows = [asdict(line) | {"gap": dict(zip(("create", "delete"), line.gap, strict=True))} for line in lines]
        self.report(rows, [_verdict(lines)])
        if any(any(line.gap) for line in lines):
            sys.exit(2)


def _table(lines: list[Line]) -> Table:
    table = Table("user", *(f"{action}: {what}" for action in ("created", "deleted") for what in ("log", "counter")))
    for column in table.columns:
        column.justify = "right"
    for line in lines:
        cells = (line.user, line.expected.create, line.counted.create, line.expected.delete, line.counted.delete)
        table.add_row(*(f"{cell:,}" for cell in cells), style="bold red" if any(line.gap) else "")
    return table


def _verdict(lines: list[Line]) -> str:
    """The gap, and what to do about it."""
    if not any(any(line.gap) for line in lines):
        return "No gap: the counter agrees with the log."
    created, deleted = (sum(column) for column in zip(*(line.gap for line in lines), strict=True))
    status = next((one for one in operations.status() if one.name == NAME), None)
    return f"The counter lacks {_lacking(created, 'creation')} and {_lacking(deleted, 'deletion')}. {_advice(status)}"


def _lacking(number: int, noun: str) -> str:
    return f"{number:+,} {noun}" if abs(number) == 1 else f"{number:+,} {noun}s"


def _advice(status: Status | None) -> str:
    if status is None:
        return "Nothing was ever sent: start a worker."
    if status.state == "paused":
        reason = status.reason or "without a reason"
        return f"{NAME} is paused ({reason}): `manage.py lockstep resume {NAME}` lets it go on."
    if status.dead:
        see, then = f"`manage.py lockstep dead-letters {NAME}`", f"`manage.py lockstep replay {NAME} --all`"
        return f"{counted(status.dead, 'message')} refused: see {see}, then {then}."
    if status.behind or status.waiting:
        return f"{counted(status.behind + status.waiting, 'change')} still on the way."
    again = f"`manage.py lockstep rewind {NAME} --all` sends all again that the log has, under the same ids"
    return f"Nothing is on its way; {again}."
