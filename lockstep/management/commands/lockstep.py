"""`manage.py lockstep`: the worker, and the operations on deliveries."""

import json
import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.core.checks import run_checks
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import connections, transaction

from lockstep.changes import commands
from lockstep.changes.capture import captured, captures
from lockstep.changes.checks import migrations_are_pending
from lockstep.changes.commands import counted
from lockstep.changes.imports import resync
from lockstep.conf import lockstep_settings
from lockstep.delivery import operations
from lockstep.delivery.audit import Finding, audit
from lockstep.delivery.epochs import Busy, NotOwner, SameCluster, begin_new_epoch, preview_new_epoch
from lockstep.delivery.models import Subscription
from lockstep.delivery.operations import (
    ChangeFilter,
    DeadLetterRow,
    Preview,
    ReplayResult,
    Status,
    StillDeclared,
    UnknownSubscription,
    WrongState,
)
from lockstep.delivery.periodic import asleep
from lockstep.delivery.subscriptions import is_declared, logged_models
from lockstep.uninstall import plan_uninstall, uninstall

MAX_NAMED = 20  # differences that are named
DIFFERENT, NOT_COMPARED = 2, 3  # exit codes of the audit
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
TIMES = "2026-11-21T09:30 (UTC), or 2h for two hours ago"
UNDECLARED = "not declared in the code: it fills up to its cap, and nothing delivers it"
FILTERS = ("letters", "model", "object_id", "cause", "since", "until")


class Command(commands.Command):
    help = "Delivers changes (worker); shows waiting changes and dead letters; pauses, replays, discards, rewinds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Adds the subcommands, each of which is a method of this class."""
        subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

        def add(name: str, text: str, *, named: bool = True) -> ArgumentParser:
            command = subparsers.add_parser(name, help=text, description=text, allow_abbrev=False)
            if named:
                text = "its name; `manage.py lockstep status` lists them"
                command.add_argument("subscription", metavar="SUBSCRIPTION", help=text)
            command.add_argument("--json", action="store_true", help="as JSON, for other programs")
            return command

        text = "delivers changes and does the periodic work; any number can run, on any number of machines"
        subparsers.add_parser("worker", help=text, description=text, allow_abbrev=False)
        add("status", "the state of every subscription, and its waiting changes", named=False)
        letters = _choice(add("dead-letters", "the dead letters of a subscription, oldest first"))
        letters.add_argument(
            "--limit", type=commands.whole_number(1), default=50, metavar="N", help="how many at most (default 50)"
        )
        _plan(_choice(add("replay", "sends dead letters again with the same message ids"), every=True))
        _plan(_span(add("replay-changes", "sends all changes of a period again, delivered or not"), required=True))
        discard = _plan(_choice(add("discard", "discards dead letters, and keeps them with the reason"), every=True))
        discard.add_argument("--reason", type=_reason, required=True)
        pause = _plan(add("pause", "stops fan-out and delivery; writers are not affected"))
        pause.add_argument("--reason", type=_reason, required=True)
        _plan(add("resume", "continues where it stopped"))
        rewind = _plan(add("rewind", "sends all changes since an earlier time again, in their order"))
        place = rewind.add_mutually_exclusive_group(required=True)
        place.add_argument("--since", type=_time, metavar="TIME", help=f"changes since then: {TIMES}")
        place.add_argument("--all", action="store_true", help="all changes in the log")
        _plan(add("remove", "removes a subscription that the code no longer declares, with its waiting changes"))
        compares = (
            "checks that rows, log and mirrors agree; exits 2 where they do not, and 3 where nothing differs but a "
            "comparison failed"
        )
        add("audit", compares, named=False).add_argument(
            "--no-outside", action="store_true", help="skip checks that call other systems"
        )
        add("check", "checks settings, declarations, triggers and rights; exits 1 on an error", named=False)
        _plan(add("new-epoch", "continues deliveries after a dump was restored into another cluster", named=False))
        writes = "writes a model's missing changes to the log, as after an import without capture"
        _plan(add("resync", writes, named=False)).add_argument("model", type=_model, help='such as "blog.article"')
        removes = "drops triggers, functions and tables of Lockstep, and keeps the project's tables"
        _plan(add("uninstall", removes, named=False))

    def handle(self, *, command: str, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        if connections[lockstep_settings.DATABASE].vendor != "postgresql":
            raise CommandError(f"The database {lockstep_settings.DATABASE!r} is not PostgreSQL: nothing is captured.")
        act: Callable[[dict[str, Any]], None] = getattr(self, "_" + command.replace("-", "_"))
        try:
            act(options)
        except UnknownSubscription as error:
            names = ", ".join(status.name for status in operations.status()) or "none"
            raise CommandError(f"{error} There are: {names}.") from error
        except (StillDeclared, SameCluster, WrongState, Busy, NotOwner) as error:
            raise CommandError(str(error)) from error

    def _worker(self, options: dict[str, Any]) -> None:
        from lockstep.delivery.process import run_worker

        run_worker(warn=lambda text: self.stderr.write(self.style.ERROR(text)))

    def _status(self, options: dict[str, Any]) -> None:
        rows = operations.status()
        self._report(options, rows, [_status_table(rows)])
        if sleeping := asleep():
            self.stderr.write(f"Periodic work, not done for too long: {', '.join(sleeping)}. Does a worker run?")

    def _dead_letters(self, options: dict[str, Any]) -> None:
        rows = operations.dead_letters(_change_filter(options), limit=options["limit"])
        self._report(options, rows, [_letter_line(row) for row in rows] or ["No dead letters."])

    def _replay(self, options: dict[str, Any]) -> None:
        change_filter = _narrowed(options)
        if options["plan"]:
            preview = operations.preview_letters(change_filter)
            self._report(options, preview, _preview_lines("replay", preview, letters=True))
            return
        done = operations.replay_letters(change_filter)
        self._report(options, done, _replayed_lines(done, letters=True))

    def _replay_changes(self, options: dict[str, Any]) -> None:
        change_filter = _change_filter(options)
        if options["plan"]:
            preview = operations.preview_span(change_filter)
            self._report(options, preview, _preview_lines("replay", preview))
            return
        done = operations.replay_span(change_filter)
        self._report(options, done, _replayed_lines(done))

    def _discard(self, options: dict[str, Any]) -> None:
        change_filter = _narrowed(options)
        if options["plan"]:
            preview = operations.preview_discard(change_filter)
            self._report(options, preview, _preview_lines("discard", preview))
            return
        count = operations.discard_letters(change_filter, reason=options["reason"])
        line = f"Discarded {counted(count, 'dead letter')}." if count else "Nothing to discard."
        self._report(options, {"discarded": count}, [line])

    def _pause(self, options: dict[str, Any]) -> None:
        name = options["subscription"]
        with _rolled_back_if(options["plan"]):
            state = operations.pause(name, reason=options["reason"])
        when = " as soon as it is enabled" if state == "disabled" else ""
        line = f"Would pause {name}{when}." if options["plan"] else f"{name} is paused{when}."
        if not (when or options["plan"]):
            line += f" Its changes wait; `manage.py lockstep resume {name}` sends them."
        self._report(options, {"state": state}, [line])

    def _resume(self, options: dict[str, Any]) -> None:
        name = options["subscription"]
        subscriptions = Subscription.objects.using(lockstep_settings.DATABASE)
        if subscriptions.filter(name=name, state=Subscription.State.ACTIVE).exists():
            line = f"{name} is active already; nothing was changed."
            self._report(options, {"state": "active"}, [line])
            return
        with _rolled_back_if(options["plan"]):
            state = operations.resume(name)
        line = f"{name} continues where it stopped."
        if options["plan"]:
            line = f"Would resume {name}."
        elif state == "disabled":
            line = f"{name} is not paused any more; it is disabled still."
        self._report(options, {"state": state}, [line])

    def _rewind(self, options: dict[str, Any]) -> None:
        name, preview = options["subscription"], operations.preview_span(_change_filter(options))
        if options["plan"]:
            lines = _preview_lines("send again", preview)
        elif not operations.rewind(name, since=options["since"]):
            lines = ["The log has nothing since then."]
        elif preview.first is None:
            lines = [f"{name} starts again there; the log has nothing for it since then."]
        else:
            what = f"{counted(preview.changes, 'change')} of {counted(preview.objects, 'object')}"
            lines = [f"{name} starts again at {preview.first:%Y-%m-%d %H:%M:%S} UTC: {what} go out again."]
        self._report(options, preview, lines)

    def _remove(self, options: dict[str, Any]) -> None:
        name = options["subscription"]
        lost = [row for row in operations.status() if row.name == name]
        with _rolled_back_if(options["plan"]):
            operations.remove(name)
        what = f"{counted(lost[0].waiting, 'waiting change')} and {counted(lost[0].dead, 'dead letter')}"
        line = f"Would remove {name} with {what}." if options["plan"] else f"{name} is removed."
        self._report(options, {"waiting": lost[0].waiting, "dead": lost[0].dead}, [line])

    def _audit(self, options: dict[str, Any]) -> None:
        findings = []
        for finding in audit(outside=not options["no_outside"]):
            findings.append(finding)
            if not options["json"]:
                self._say_finding(finding)
        if options["json"]:
            self._report(options, findings, [])
        if any(finding.differing for finding in findings):
            raise CommandError("There are differences.", returncode=DIFFERENT)
        if any(finding.not_compared for finding in findings):
            raise CommandError("Not everything could be compared.", returncode=NOT_COMPARED)

    def _check(self, options: dict[str, Any]) -> None:
        using = lockstep_settings.DATABASE
        if migrations_are_pending(using):
            raise CommandError("Migrations are pending: run `manage.py migrate`, then check again.")
        found = [each for each in run_checks(databases=[using]) if str(each.id).startswith("lockstep.")]
        rows = [
            {"id": each.id, "is_error": each.is_serious(), "message": each.msg, "hint": each.hint or ""}
            for each in found
        ]
        self._report(options, rows, [str(each) for each in found] or ["Everything is as it should be."])
        if any(each.is_serious() for each in found):
            raise CommandError("There are errors.")

    def _new_epoch(self, options: dict[str, Any]) -> None:
        chosen = preview_new_epoch() if options["plan"] else begin_new_epoch()
        lines = [f"{name}: changes to send: {count:,}" for name, count in chosen.items()]
        if not options["plan"]:
            lines.append("A new epoch has begun. Start the workers.")
        self._report(options, dict(chosen), lines)

    def _resync(self, options: dict[str, Any]) -> None:
        found = resync(captured(options["model"]).model, plan=options["plan"])
        verb = "Would write" if options["plan"] else "Written"
        counts = f"{found.created:,} created, {found.updated:,} updated, {found.deleted:,} deleted"
        self._report(options, found, [f"{verb}: {counts}."])

    def _uninstall(self, options: dict[str, Any]) -> None:
        dropped = list(plan_uninstall() if options["plan"] else uninstall())
        lines = [f"{'Would drop' if options['plan'] else 'Dropped'} {what}." for what in dropped]
        if not options["plan"]:
            lines.append("Remove lockstep from INSTALLED_APPS, and @capture and subscribers.py from the code.")
        self._report(options, {"dropped": dropped}, lines)

    def _report(self, options: dict[str, Any], result: object, lines: Sequence[str]) -> None:
        """Writes the result as JSON where that is asked for, else these lines."""
        if options["json"]:
            self.stdout.write(json.dumps(result, default=_as_json, indent=2))
            return
        for line in lines:
            self.stdout.write(line)

    def _say_finding(self, finding: Finding) -> None:
        if finding.not_compared:
            self.stdout.write(f"{finding.what:40} {'':12}  could not be compared: {finding.not_compared}")
            return
        verdict = f"{len(finding.differing):,} DIFFER" if finding.differing else "equal"
        digests = f"  {' / '.join(dict.fromkeys(finding.digests))}" if finding.digests else ""
        remark = f"  ({finding.remark})" if finding.remark else ""
        self.stdout.write(f"{finding.what:40} {finding.objects:>12,}  {verdict}{digests}{remark}")
        for name in finding.differing[:MAX_NAMED]:
            self.stdout.write(f"    {name}")


@contextmanager
def _rolled_back_if(plan: bool) -> Iterator[None]:
    """What is done inside is done; with `plan` it is rolled back, so that a plan refuses exactly what would fail."""
    with transaction.atomic(lockstep_settings.DATABASE):
        yield
        if plan:
            transaction.set_rollback(True, using=lockstep_settings.DATABASE)


def _as_json(value: object) -> object:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def _letter_line(row: DeadLetterRow) -> str:
    what = f"{row.model} {row.object_id} of {row.at:%Y-%m-%d %H:%M:%S} UTC, {counted(row.attempts, 'attempt')}"
    return f"{row.id}  {what}\n    {row.cause}"


def _preview_lines(verb: str, preview: Preview, *, letters: bool = False) -> list[str]:
    if preview.first is None or preview.last is None:
        return [f"Nothing to {verb}.", *_left_lines(preview, letters=letters)]
    span = f"from {preview.first:%Y-%m-%d %H:%M:%S} to {preview.last:%Y-%m-%d %H:%M:%S} UTC"
    what = f"{counted(preview.changes, 'change')} of {counted(preview.objects, 'object')}"
    return [f"Would {verb} {what}, {span}.", *_left_lines(preview, letters=letters)]


def _replayed_lines(done: ReplayResult, *, letters: bool = False) -> list[str]:
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


def _status_table(rows: Sequence[Status]) -> str:
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
    reason = row.reason or ("" if is_declared(row.name) else UNDECLARED)
    return (row.name, row.state, *(f"{count:,}" for count in counts), age, reason)


def _plan(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("--plan", action="store_true", help="show what it would do, change nothing")
    return parser


def _choice(parser: ArgumentParser, *, every: bool = False) -> ArgumentParser:
    # Without a default argparse reports that ids are required.
    parser.add_argument(
        "letters", nargs="*", default=[], type=UUID, metavar="LETTER", help="some dead letters by their ids"
    )
    parser.add_argument("--cause", help="those whose cause contains this")
    if every:
        parser.add_argument("--all", action="store_true", help="all of the subscription's dead letters")
    return _span(parser)


def _span(parser: ArgumentParser, *, required: bool = False) -> ArgumentParser:
    parser.add_argument("--since", type=_time, metavar="TIME", required=required, help=f"changes since then: {TIMES}")
    parser.add_argument("--until", type=_time, metavar="TIME", help="changes before then")
    parser.add_argument("--model", type=_model, help='of one model, such as "blog.article"')
    parser.add_argument("--object", dest="object_id", metavar="KEY", help="of one object, by its primary key")
    return parser


def _time(text: str) -> datetime:
    try:
        if ago := re.fullmatch(r"(\d+)([smhd])", text):
            return _database_time() - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"{text!r} is no time: say 2026-11-21T09:30, or 2h for two hours ago") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _database_time() -> datetime:
    """The database's time, by which changes are dated."""
    with connections[lockstep_settings.DATABASE].cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone() or (None,)
    return cast(datetime, now)


def _reason(text: str) -> str:
    if not text.strip():
        raise ArgumentTypeError("must say something: it is all that is kept of why")
    return text


def _model(text: str) -> str:
    if text not in (known := logged_models()):
        raise ArgumentTypeError(f"there is no model {text!r}. There are: {', '.join(known)}")
    return text


def _change_filter(options: dict[str, Any]) -> ChangeFilter:
    since, until = options.get("since"), options.get("until")
    if since and until and until <= since:
        raise CommandError("--until must be later than --since: nothing lies between them.")
    chosen = {name: options.get(name) or None for name in FILTERS}
    if chosen["object_id"]:
        chosen["object_id"] = _key(chosen["object_id"], chosen["model"])
    if chosen["letters"]:
        chosen["letters"] = tuple(chosen["letters"])
    return ChangeFilter(options["subscription"], **chosen)


def _key(text: str, label: str | None) -> str:
    """A primary key in the log's form. Raises CommandError where it is no key of this or of any captured model."""
    for capture in captures():
        if label in (None, capture.label) and (key := capture.model._meta.pk):
            with suppress(ValidationError):
                return str(key.to_python(text))
    raise CommandError(f"{text!r} is no primary key of {label or 'a captured model'}.")


def _narrowed(options: dict[str, Any]) -> ChangeFilter:
    """The filter of dead letters; all of them only with --all."""
    if not options["all"] and not any(options[name] for name in FILTERS):
        raise CommandError(
            "Which? Name dead letters, narrow with --model, --object, --cause, --since, --until, or say --all."
        )
    return _change_filter(options)
