"""What `manage.py lockstep` writes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import timedelta

from lockstep.changes.commands import counted
from lockstep.delivery.audit import Finding
from lockstep.delivery.reports import DeadLetterRow, Preview, ReplayResult, Status
from lockstep.delivery.subscriptions import is_declared

MAX_NAMED = 20  # differences that are named
UNDECLARED = "not declared in the code: it fills up to its cap, and nothing delivers it"


def as_json(result: object) -> str:
    """A result, with its dataclasses, as JSON; times and ids are texts."""

    def convert(value: object) -> object:
        return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)

    return json.dumps(result, default=convert, indent=2)


def letter_line(row: DeadLetterRow) -> str:
    """A dead letter: what it is of, and below it the cause."""
    what = f"{row.model} {row.object_id} of {row.at:%Y-%m-%d %H:%M:%S} UTC, {counted(row.attempts, 'attempt')}"
    return f"{row.id}  {what}\n    {row.cause}"


def preview_lines(verb: str, preview: Preview, *, letters: bool = False) -> list[str]:
    """What would be done, and what is left out."""
    if preview.first is None or preview.last is None:
        return [f"Nothing to {verb}.", *_left_lines(preview, letters=letters)]
    span = f"from {preview.first:%Y-%m-%d %H:%M:%S} to {preview.last:%Y-%m-%d %H:%M:%S} UTC"
    what = f"{counted(preview.changes, 'change')} of {counted(preview.objects, 'object')}"
    return [f"Would {verb} {what}, {span}.", *_left_lines(preview, letters=letters)]


def replayed_lines(done: ReplayResult, *, letters: bool = False) -> list[str]:
    """What is done, and what is left out."""
    what = f"{counted(done.changes, 'change')} of {counted(done.objects, 'object')}"
    return [f"Replaying {what}." if done.objects else "Nothing to replay.", *_left_lines(done, letters=letters)]


def _left_lines(result: Preview | ReplayResult, *, letters: bool) -> list[str]:
    """The changes that a replay left to the relay, and those no longer in the log."""
    lines = []
    if count := result.not_fanned_out:
        stay = " Their dead letters stay open." if letters else ""
        lines.append(f"Not fanned out yet: {counted(count, 'change')}, which go out by themselves.{stay}")
    if count := result.not_in_log:
        lines.append(f"No longer in the log: {counted(count, 'change')}. Their dead letters stay open: discard them.")
    return lines


def status_table(rows: Sequence[Status]) -> str:
    """A table with columns as wide as their values; numbers are right-aligned."""
    heads = ("subscription", "state", "behind", "waiting", "objects", "failing", "dead letters", "oldest", "reason")
    lines = [heads, *map(_status_line, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = ("<", "<", ">", ">", ">", ">", ">", ">", "<")
    formats = [f"{{:{side}{width}}}" for side, width in zip(aligned, widths, strict=True)]
    return "\n".join("  ".join(map(str.format, formats, line)).rstrip() for line in lines)


def _status_line(row: Status) -> tuple[str, ...]:
    counts = (row.behind, row.waiting, row.objects, row.failing, row.dead)
    age = "" if row.age is None else str(timedelta(seconds=round(row.age)))
    reason = "; ".join(filter(None, ["" if is_declared(row.name) else UNDECLARED, row.reason]))
    return (row.name, row.state, *(f"{count:,}" for count in counts), age, reason)


def finding_lines(finding: Finding) -> list[str]:
    """One comparison of the audit, and below it the first objects that differ."""
    if finding.not_compared:
        return [f"{finding.what:40} {'':12}  could not be compared: {finding.not_compared}"]
    verdict = f"{len(finding.differing):,} DIFFER" if finding.differing else "equal"
    digests = f"  {' / '.join(dict.fromkeys(finding.digests))}" if finding.digests else ""
    remark = f"  ({finding.remark})" if finding.remark else ""
    line = f"{finding.what:40} {finding.objects:>12,}  {verdict}{digests}{remark}"
    return [line, *(f"    {name}" for name in finding.differing[:MAX_NAMED])]
