"""The arguments of `manage.py lockstep`: its subcommands, their options, and the changes that options choose."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypedDict, cast
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

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
    processes: int


def add_subcommands(parser: ArgumentParser) -> None:
    """Adds all subcommands."""
    subcommands = commands.Subcommands(parser)
    text = "delivers changes and does the periodic work; any number can run, on any number of machines"
    worker = subcommands.add("worker", text, has_json=False)
    text = "how many processes (default 1); one that ends is started again"
    worker.add_argument("--processes", type=commands.whole_number(1), default=1, metavar="N", help=text)
    subcommands.add("status", "the state of every subscription, and its waiting changes")
    _add_letters(subcommands)
    _add_states(subcommands)
    _add_whole_log(subcommands)


def _add_letters(subcommands: commands.Subcommands) -> None:
    """Those for dead letters, and for changes of a period."""
    letters = _choice(_named(subcommands.add("dead-letters", "the dead letters of a subscription, oldest first")))
    text = "how many at most (default 50)"
    letters.add_argument("--limit", type=commands.whole_number(1), default=50, metavar="N", help=text)
    text = "sends dead letters again with the same message ids"
    _plan(_choice(_named(subcommands.add("replay", text)), every=True))
    text = "sends all changes of a period again, delivered or not"
    _plan(_span(_named(subcommands.add("replay-changes", text)), required=True))
    text = "discards dead letters, and keeps them with the reason"
    _reason(_plan(_choice(_named(subcommands.add("discard", text)), every=True)))


def _add_states(subcommands: commands.Subcommands) -> None:
    """Those for the state of a subscription, and for its place in the log."""
    _reason(_plan(_named(subcommands.add("pause", "stops fan-out and delivery; writers are not affected"))))
    _plan(_named(subcommands.add("resume", "continues where it stopped")))
    rewind = _plan(_named(subcommands.add("rewind", "sends all changes since an earlier time again, in their order")))
    place = rewind.add_mutually_exclusive_group(required=True)
    place.add_argument("--since", type=_time, metavar="TIME", help=f"changes since then: {TIMES}")
    place.add_argument("--all", action="store_true", help="all changes in the log")
    text = "removes a subscription that the code no longer declares, with its waiting changes"
    _plan(_named(subcommands.add("remove", text)))


def _add_whole_log(subcommands: commands.Subcommands) -> None:
    """Those for the log and for the installation."""
    text = (
        "checks that rows, log and mirrors agree; exits 2 where they do not, and 3 where nothing differs but a "
        "comparison failed"
    )
    audit = subcommands.add("audit", text)
    audit.add_argument("--no-outside", action="store_true", help="skip checks that call other systems")
    text = "checks settings, declarations, triggers and rights; exits 1 on an error"
    subcommands.add("check", text)
    text = "continues deliveries after a dump was restored into another cluster"
    _plan(subcommands.add("new-epoch", text))
    text = "writes a model's missing changes to the log, as after an import without capture"
    resync = _plan(subcommands.add("resync", text))
    resync.add_argument("model", type=_captured_model, help='such as "blog.article"')
    text = "drops triggers, functions and tables of Lockstep, and keeps the project's tables"
    _plan(subcommands.add("uninstall", text))


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


def _named(parser: ArgumentParser) -> ArgumentParser:
    text = "its name; `manage.py lockstep status` lists them"
    parser.add_argument("subscription", metavar="SUBSCRIPTION", help=text)
    return parser


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
