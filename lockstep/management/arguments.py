"""The arguments of `manage.py lockstep`: its subcommands, their options, and the changes that options choose."""

import re
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import TypedDict, cast
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, DjangoHelpFormatter

from lockstep.changes import commands
from lockstep.changes.capture import captures
from lockstep.conf import log_connection
from lockstep.delivery.reports import ChangeFilter
from lockstep.delivery.subscriptions import logged_models

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
TIMES = "2026-11-21T09:30 (UTC), or 2h for two hours ago"


class Options(TypedDict, total=False):
    """The options of the subcommands; each has some of them."""

    subscription: str
    json: bool
    plan: bool
    all: bool
    no_outside: bool
    limit: int
    reason: str
    letters: list[UUID]
    cause: str | None
    since: datetime | None
    until: datetime | None
    model: str
    object_id: str | None


class Subcommands:
    """Adds subcommands to the parser of the command."""

    def __init__(self, parser: ArgumentParser) -> None:
        self._of_every_command = [action for action in parser._actions if action.dest != "help"]
        self._parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(self, name: str, text: str, *, named: bool = True, json: bool = True) -> ArgumentParser:
        """One subcommand; `named` is whether it is for one subscription, `json` whether it can write JSON."""
        command = self._parsers.add_parser(
            name, help=text, description=text, allow_abbrev=False, formatter_class=DjangoHelpFormatter
        )
        for action in self._of_every_command:
            # Options such as --settings are accepted after the subcommand too, where they overwrite only if given.
            again = copy(action)
            again.default = SUPPRESS
            command._add_action(again)
        if named:
            text = "its name; `manage.py lockstep status` lists them"
            command.add_argument("subscription", metavar="SUBSCRIPTION", help=text)
        if json:
            command.add_argument("--json", action="store_true", help="as JSON, for other programs")
        return command


def add_subcommands(parser: ArgumentParser) -> None:
    """Adds all subcommands."""
    subcommands = Subcommands(parser)
    text = "delivers changes and does the periodic work; any number can run, on any number of machines"
    subcommands.add("worker", text, named=False, json=False)
    subcommands.add("status", "the state of every subscription, and its waiting changes", named=False)
    _add_letters(subcommands)
    _add_states(subcommands)
    _add_whole_log(subcommands)


def _add_letters(subcommands: Subcommands) -> None:
    """Those for dead letters, and for changes of a period."""
    letters = _choice(subcommands.add("dead-letters", "the dead letters of a subscription, oldest first"))
    text = "how many at most (default 50)"
    letters.add_argument("--limit", type=commands.whole_number(1), default=50, metavar="N", help=text)
    text = "sends dead letters again with the same message ids"
    _plan(_choice(subcommands.add("replay", text), every=True))
    text = "sends all changes of a period again, delivered or not"
    _plan(_span(subcommands.add("replay-changes", text), required=True))
    text = "discards dead letters, and keeps them with the reason"
    _reason(_plan(_choice(subcommands.add("discard", text), every=True)))


def _add_states(subcommands: Subcommands) -> None:
    """Those for the state of a subscription, and for its place in the log."""
    _reason(_plan(subcommands.add("pause", "stops fan-out and delivery; writers are not affected")))
    _plan(subcommands.add("resume", "continues where it stopped"))
    rewind = _plan(subcommands.add("rewind", "sends all changes since an earlier time again, in their order"))
    place = rewind.add_mutually_exclusive_group(required=True)
    place.add_argument("--since", type=_time, metavar="TIME", help=f"changes since then: {TIMES}")
    place.add_argument("--all", action="store_true", help="all changes in the log")
    text = "removes a subscription that the code no longer declares, with its waiting changes"
    _plan(subcommands.add("remove", text))


def _add_whole_log(subcommands: Subcommands) -> None:
    """Those for the log and for the installation."""
    text = (
        "checks that rows, log and mirrors agree; exits 2 where they do not, and 3 where nothing differs but a "
        "comparison failed"
    )
    audit = subcommands.add("audit", text, named=False)
    audit.add_argument("--no-outside", action="store_true", help="skip checks that call other systems")
    text = "checks settings, declarations, triggers and rights; exits 1 on an error"
    subcommands.add("check", text, named=False)
    text = "continues deliveries after a dump was restored into another cluster"
    _plan(subcommands.add("new-epoch", text, named=False))
    text = "writes a model's missing changes to the log, as after an import without capture"
    resync = _plan(subcommands.add("resync", text, named=False))
    resync.add_argument("model", type=_captured_model, help='such as "blog.article"')
    text = "drops triggers, functions and tables of Lockstep, and keeps the project's tables"
    _plan(subcommands.add("uninstall", text, named=False))


def chosen_changes(options: Options) -> ChangeFilter:
    """The changes that the options name. Raises CommandError."""
    since, until = options.get("since"), options.get("until")
    if since and until and until <= since:
        raise CommandError("--until must be later than --since: nothing lies between them.")
    letters, model, object_id = options.get("letters"), options.get("model"), options.get("object_id")
    return ChangeFilter(
        options["subscription"],
        letters=tuple(letters) if letters else None,
        model=model,
        object_id=_key(object_id, model) if object_id else None,
        cause=options.get("cause") or None,
        since=since,
        until=until,
    )


def chosen_letters(options: Options) -> ChangeFilter:
    """The dead letters that the options name; all of them only with --all. Raises CommandError."""
    chosen = chosen_changes(options)
    if not options["all"] and chosen == ChangeFilter(options["subscription"]):
        raise CommandError(
            "Name dead letters, or choose them by --model, --object, --cause, --since or --until, or all by --all."
        )
    return chosen


def _key(text: str, label: str | None) -> str:
    """A primary key in the log's form. Raises CommandError where it is no key of this or of any captured model."""
    for capture in captures():
        if label in (None, capture.label) and (key := capture.model._meta.pk):
            with suppress(ValidationError):
                return str(key.to_python(text))
    raise CommandError(f"{text!r} is no primary key of {label or 'a captured model'}.")


def _plan(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("--plan", action="store_true", help="show what it would do, change nothing")
    return parser


def _reason(parser: ArgumentParser) -> None:
    def reason(text: str) -> str:
        if not text.strip():
            raise ArgumentTypeError("must not be empty")
        return text

    parser.add_argument("--reason", type=reason, required=True)


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
    with log_connection().cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone() or (None,)
    return cast(datetime, now)


def _model(text: str) -> str:
    return _one_of(text, logged_models())


def _captured_model(text: str) -> str:
    return _one_of(text, [capture.label for capture in captures()])  # those of messages have no table


def _one_of(text: str, models: Sequence[str]) -> str:
    label = text.lower()  # as in Django, "blog.Article" is "blog.article"
    if label not in models:
        raise ArgumentTypeError(f"there is no model {text!r}. There are: {', '.join(models)}")
    return label
