import json
import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.core.management.base import CommandError
from django.db import connection
from rich.console import Console
from rich.table import Table

from lockstep.changes import commands
from lockstep.changes.commands import counted
from lockstep.delivery import operations
from lockstep.delivery.audit import Finding, audit
from lockstep.delivery.epochs import Busy, SameCluster, begin_new_epoch, preview_new_epoch
from lockstep.delivery.models import Subscription
from lockstep.delivery.operations import (
    Letter,
    Preview,
    Replayed,
    Selection,
    Status,
    StillDeclared,
    UnknownSubscription,
    WrongState,
)
from lockstep.delivery.periodic import asleep
from lockstep.delivery.subscriptions import is_declared, logged_models

SHOWN = 20  # differences that are named
DIFFERENT, NOT_COMPARED = 2, 3  # exit codes of the audit
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
TIMES = "2026-11-21T09:30 (UTC), or 2h for two hours ago"
UNDECLARED = "not declared in the code: it fills up to its cap, and nothing delivers it"
NARROWING = ("letters", "model", "object_id", "cause", "since", "until")


class Command(commands.Command):
    help = "Shows what waits and what was given up; pauses, replays, discards, rewinds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

        def add(name: str, text: str, *, named: bool = True) -> ArgumentParser:
            command = subparsers.add_parser(name, help=text, description=text, allow_abbrev=False)
            if named:
                command.add_argument(
                    "subscription", metavar="SUBSCRIPTION", help="its name; `delivery status` lists them"
                )
            return command

        _json(add("status", "every subscription: how far it is and what waits", named=False))
        letters = add("letters", "the dead letters of a subscription, oldest first")
        letters.add_argument(
            "--limit", type=commands.whole_number(1), default=50, metavar="N", help="how many at most (default 50)"
        )
        _json(_choice(letters))
        _plan(_choice(add("replay-letters", "sends dead letters again, under the same message ids"), every=True))
        discard = _plan(
            _choice(add("discard-letters", "gives dead letters up, and keeps them with the reason"), every=True)
        )
        discard.add_argument("--reason", type=_reason, required=True)
        _plan(_span(add("replay-span", "sends all changes of a time again, delivered or not"), required=True))
        add("pause", "stops it where it is; writers do not notice").add_argument(
            "--reason", type=_reason, required=True
        )
        add("resume", "goes on where it stopped")
        add("remove", "removes a subscription that the code does not declare any more, with all that waits for it")
        proves = (
            "proves that rows, log and mirrors say the same; exits 2 where they do not, and 3 where nothing differs "
            "but something could not be compared"
        )
        audit = _json(add("audit", proves, named=False))
        audit.add_argument("--no-outside", action="store_true", help="leave out what asks other people's systems")
        _plan(add("new-epoch", "lets deliveries go on after a dump was restored into another cluster", named=False))
        rewind = _plan(add("rewind", "starts again at an earlier place of the log: all changes since, in their order"))
        place = rewind.add_mutually_exclusive_group(required=True)
        place.add_argument("--since", type=_time, metavar="TIME", help=f"at this time: {TIMES}")
        place.add_argument("--all", action="store_true", help="as far back as the log reaches")

    def handle(self, *, command: str, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        try:
            getattr(self, "_" + command.replace("-", "_"))(options)
        except UnknownSubscription as error:
            names = ", ".join(status.name for status in operations.status()) or "none"
            raise CommandError(f"{error} There are: {names}.") from error
        except (StillDeclared, SameCluster, WrongState, Busy) as error:
            raise CommandError(str(error)) from error

    def _status(self, options: dict[str, Any]) -> None:
        rows = operations.status()
        if options["json"]:
            self._say_json(rows)
        else:
            self._console.print(_status_table(rows))
        if sleeping := asleep():
            self.stderr.write(f"Periodic work, not done for too long: {', '.join(sleeping)}. Does a worker run?")

    def _letters(self, options: dict[str, Any]) -> None:
        rows = operations.letters(_selection(options), limit=options["limit"])
        if options["json"]:
            self._say_json(rows)
            return
        for row in rows:
            what = f"{row.model} {row.object_id} of {row.at:%Y-%m-%d %H:%M:%S} UTC, {counted(row.attempts, 'attempt')}"
            self.stdout.write(f"{row.id}  {what}\n    {row.cause}")
        if not rows:
            self.stdout.write("No dead letters.")

    def _replay_letters(self, options: dict[str, Any]) -> None:
        selection = _narrowed(options)
        if options["plan"]:
            self._say_preview("replay", operations.preview_letters(selection), letters=True)
            return
        self._say_replayed(operations.replay_letters(selection), letters=True)

    def _discard_letters(self, options: dict[str, Any]) -> None:
        selection = _narrowed(options)
        if options["plan"]:
            self._say_preview("discard", operations.preview_discard(selection))
            return
        count = operations.discard_letters(selection, reason=options["reason"])
        self.stdout.write(f"Discarded {counted(count, 'dead letter')}." if count else "Nothing to discard.")

    def _replay_span(self, options: dict[str, Any]) -> None:
        if options["plan"]:
            self._say_preview("replay", operations.preview_span(_selection(options)))
            return
        self._say_replayed(operations.replay_span(_selection(options)))

    def _pause(self, options: dict[str, Any]) -> None:
        name = options["subscription"]
        if operations.pause(name, reason=options["reason"]) == "disabled":
            self.stdout.write(f"{name} is paused as soon as it is enabled.")
        else:
            self.stdout.write(f"{name} is paused. Its changes wait; `delivery resume` lets them go on.")

    def _resume(self, options: dict[str, Any]) -> None:
        name = options["subscription"]
        if Subscription.objects.filter(name=name, state=Subscription.State.ACTIVE).exists():
            self.stdout.write(f"{name} is active already; nothing was changed.")
            return
        if operations.resume(name) == "disabled":
            self.stdout.write(f"{name} is not paused any more; it is disabled still.")
        else:
            self.stdout.write(f"{name} goes on where it stopped.")

    def _rewind(self, options: dict[str, Any]) -> None:
        name, preview = options["subscription"], operations.preview_span(_selection(options))
        if options["plan"]:
            self._say_preview("send again", preview)
        elif not operations.rewind(name, since=options["since"]):
            self.stdout.write("The log has nothing since then.")
        elif preview.first is None:
            self.stdout.write(f"{name} starts again there; the log has nothing for it since then.")
        else:
            what = f"{counted(preview.changes, 'change')} of {counted(preview.objects, 'object')}"
            self.stdout.write(f"{name} starts again at {preview.first:%Y-%m-%d %H:%M:%S} UTC: {what} go out again.")

    def _remove(self, options: dict[str, Any]) -> None:
        operations.remove(options["subscription"])
        self.stdout.write(f"{options['subscription']} is removed.")

    def _audit(self, options: dict[str, Any]) -> None:
        findings = []
        for finding in audit(outside=not options["no_outside"]):
            findings.append(finding)
            if not options["json"]:
                self._say_finding(finding)
        if options["json"]:
            self._say_json(findings)
        if any(finding.differing for finding in findings):
            raise CommandError("There are differences.", returncode=DIFFERENT)
        if any(finding.not_compared for finding in findings):
            raise CommandError("Not everything could be compared.", returncode=NOT_COMPARED)

    def _say_finding(self, finding: Finding) -> None:
        if finding.not_compared:
            self.stdout.write(f"{finding.what:40} {'':12}  could not be compared: {finding.not_compared}")
            return
        verdict = f"{len(finding.differing):,} DIFFER" if finding.differing else "equal"
        digests = f"  {' / '.join(dict.fromkeys(finding.digests))}" if finding.digests else ""
        remark = f"  ({finding.remark})" if finding.remark else ""
        self.stdout.write(f"{finding.what:40} {finding.objects:>12,}  {verdict}{digests}{remark}")
        for name in finding.differing[:SHOWN]:
            self.stdout.write(f"    {name}")

    def _new_epoch(self, options: dict[str, Any]) -> None:
        chosen = preview_new_epoch() if options["plan"] else begin_new_epoch()
        for name, count in chosen.items():
            self.stdout.write(f"{name}: changes to send: {count:,}")
        if not options["plan"]:
            self.stdout.write("A new epoch has begun. Start the workers.")

    def _say_preview(self, verb: str, preview: Preview, *, letters: bool = False) -> None:
        if preview.first is None or preview.last is None:
            self.stdout.write(f"Nothing to {verb}.")
        else:
            span = f"from {preview.first:%Y-%m-%d %H:%M:%S} to {preview.last:%Y-%m-%d %H:%M:%S} UTC"
            self.stdout.write(
                f"Would {verb} {counted(preview.changes, 'change')} of {counted(preview.objects, 'object')}, {span}."
            )
        self._say_left(preview, letters=letters)

    def _say_replayed(self, done: Replayed, *, letters: bool = False) -> None:
        what = f"{counted(done.changes, 'change')} of {counted(done.objects, 'object')}"
        self.stdout.write(f"Replaying {what}." if done.objects else "Nothing to replay.")
        self._say_left(done, letters=letters)

    def _say_left(self, result: Preview | Replayed, *, letters: bool) -> None:
        """What a replay leaves: the relay sends it, or nobody can."""
        if count := result.not_fanned_out:
            stay = " Their dead letters stay open." if letters else ""
            self.stdout.write(f"Not fanned out yet: {counted(count, 'change')}, which go out by themselves.{stay}")
        if count := result.not_in_log:
            self.stdout.write(
                f"No longer in the log: {counted(count, 'change')}. Their dead letters stay open: discard them."
            )

    def _say_json(self, rows: Sequence[Status | Letter | Finding]) -> None:
        self.stdout.write(json.dumps([asdict(row) for row in rows], default=str, indent=2))

    @property
    def _console(self) -> Console:
        """As wide as the terminal; a pipe has no width."""
        console = Console(file=cast("Any", self.stdout._out))
        return console if console.is_terminal else Console(file=console.file, width=1_000)


def _status_table(rows: Sequence[Status]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("subscription", "state"):
        table.add_column(name)
    for name in ("behind", "waiting", "objects", "failing", "dead letters", "oldest"):
        table.add_column(name, justify="right")
    table.add_column("reason")
    for row in rows:
        counts = (row.behind, row.waiting, row.objects, row.failing, row.dead)
        reason = row.reason or ("" if is_declared(row.name) else UNDECLARED)
        table.add_row(row.name, row.state, *(f"{count:,}" for count in counts), _age(row.age), reason)
    return table


def _age(seconds: float | None) -> str:
    return "" if seconds is None else str(timedelta(seconds=round(seconds)))


def _json(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("--json", action="store_true", help="as JSON, for other programs")
    return parser


def _plan(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("--plan", action="store_true", help="say what it would do, change nothing")
    return parser


def _choice(parser: ArgumentParser, *, every: bool = False) -> ArgumentParser:
    # With a default argparse does not say that ids are required.
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
    parser.add_argument("--model", type=_model, help='of one model, such as "posts.post"')
    parser.add_argument("--object", dest="object_id", type=_object_id, metavar="ID", help="of one object, by its UUID")
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
    """The time of the clock that dates changes: that of this machine may be wrong."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return cast(datetime, now)


def _reason(text: str) -> str:
    if not text.strip():
        raise ArgumentTypeError("must say something: it is all that is kept of why")
    return text


def _model(text: str) -> str:
    if text not in (known := logged_models()):
        raise ArgumentTypeError(f"there is no model {text!r}. There are: {', '.join(known)}")
    return text


def _object_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no id of an object: ids are UUIDs, and numbers are none") from error


def _selection(options: dict[str, Any]) -> Selection:
    since, until = options.get("since"), options.get("until")
    if since and until and until <= since:
        raise CommandError("--until must be later than --since: nothing lies between them.")
    chosen = {name: options.get(name) or None for name in NARROWING}
    if chosen["letters"]:
        chosen["letters"] = tuple(chosen["letters"])
    return Selection(options["subscription"], **chosen)


def _narrowed(options: dict[str, Any]) -> Selection:
    """A selection that somebody has thought about."""
    if not options["all"] and not any(options[name] for name in NARROWING):
        raise CommandError(
            "Which? Name dead letters, narrow with --model, --object, --cause, --since, --until, or say --all."
        )
    return _selection(options)
