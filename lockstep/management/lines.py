"""What `manage.py lockstep` writes: its results as lines, and the next steps."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from lockstep.changes.commands import counted
from lockstep.delivery.audit import Finding
from lockstep.delivery.reports import DeadLetterRow, Preview, ReplayResult, Status
from lockstep.delivery.subscriptions import is_declared

MAX_NAMED = 20  # differences that are named
MAX_STEPS = 5  # next steps after a status
SAME_WITHOUT_PLAN = "This was a plan, and changed nothing. Without --plan the same command carries it out."
SEE_WAITING = "See what still waits: `manage.py lockstep status`"
UNDECLARED = "not declared in the code: it fills up to its cap, and nothing delivers it"


def letter_line(row: DeadLetterRow) -> str:
    """A dead letter: what it is of, and below it the cause."""
    what = f"{row.model} {row.object_id} of {row.at:%Y-%m-%d %H:%M:%S} UTC, {counted(row.attempts, 'attempt')}"
    return f"{row.id}  {what}\n    {row.cause}"


def preview_lines(verb: str, preview: Preview, *, letters: bool = False) -> list[str]:
    """What would be done, and what is left out."""
    if preview.first is None or preview.last is None:
        return [f"Nothing to {verb}.", *_left_lines(preview, letters=letters)]
    span = f"from {preview.first:%Y-%m-%d %H:%M:%S} to {preview.last:%Y-%m-%d %H:%M:%S} UTC"
    changes = preview.changes - preview.waiting if verb == "replay" else preview.changes  # a rewind places all anew
    what = f"{counted(changes, 'change')} of {counted(preview.objects, 'object')}"
    return [f"Would {verb} {what}, {span}.", *_left_lines(preview, letters=letters)]


def replayed_lines(done: ReplayResult, *, letters: bool = False) -> list[str]:
    """What is done, and what is left out."""
    what = f"{counted(done.changes, 'change')} of {counted(done.objects, 'object')}"
    return [f"Replaying {what}." if done.objects else "Nothing to replay.", *_left_lines(done, letters=letters)]


def _left_lines(result: Preview | ReplayResult, *, letters: bool) -> list[str]:
    """The changes that a replay left to the relay, and those no longer in the log."""
    lines = []
    if count := result.not_fanned_out:
        goes = "goes out by itself" if count == 1 else "go out by themselves"
        stay = f" {_letters_stay(count)}." if letters else ""
        lines.append(f"Not fanned out yet: {counted(count, 'change')}, which {goes}.{stay}")
    if count := result.not_in_log:
        discard = "discard it" if count == 1 else "discard them"
        lines.append(f"No longer in the log: {counted(count, 'change')}. {_letters_stay(count)}: {discard}.")
    return lines


def _letters_stay(count: int) -> str:
    return "Its dead letter stays open" if count == 1 else "Their dead letters stay open"


def rewound_line(name: str, preview: Preview) -> str:
    """What a rewind sends again."""
    if preview.first is None:
        return f"{name} starts again there; the log has nothing for it since then."
    goes = "goes" if preview.changes == 1 else "go"
    what = f"{counted(preview.changes, 'change')} of {counted(preview.objects, 'object')} {goes} out again"
    return f"{name} starts again at {preview.first:%Y-%m-%d %H:%M:%S} UTC: {what}."


def letter_steps(name: str, rows: Sequence[DeadLetterRow], limit: int) -> list[str]:
    """What may be done with these dead letters."""
    if not rows:
        return []
    more = [f"There may be more: --limit {10 * limit} lists them."] if len(rows) == limit else []
    return [
        *more,
        f"Once the cause is mended, send again: `manage.py lockstep replay {name} --all`",
        f"Or give up: `manage.py lockstep discard {name} --all --reason TEXT`",
    ]


def status_steps(rows: Sequence[Status]) -> list[str]:
    """What the subscriptions need of an operator; the first of them."""
    steps = [step for row in rows for step in _status_steps(row)]
    more = [f"and {len(steps) - MAX_STEPS:,} more"] if len(steps) > MAX_STEPS else []
    return [*steps[:MAX_STEPS], *more]


def _status_steps(row: Status) -> Iterator[str]:
    if row.dead:
        yield f"{counted(row.dead, 'dead letter')}: `manage.py lockstep dead-letters {row.name}`"
    if row.state == "paused":
        yield f"{row.name} is paused: `manage.py lockstep resume {row.name}` sends what waits"
    if not is_declared(row.name):
        yield f"{row.name} is not declared: `manage.py lockstep remove {row.name} --plan` shows what it still has"


def finding_steps(findings: Sequence[Finding]) -> list[str]:
    """What mends the differences that an audit has found; the first of them."""
    steps = [f"{finding.what}: `{finding.remedy}`" for finding in findings if finding.remedy]
    more = [f"and {len(steps) - MAX_STEPS:,} more"] if len(steps) > MAX_STEPS else []
    return [*steps[:MAX_STEPS], *more]


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
