"""Lets a remote system fail, in development: its stand-in is asked to."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import TypedDict, Unpack

from django.conf import settings
from django.core.management.base import CommandError

from backend.entities.stand_ins import SETTINGS, NoStandIn, StandIn, describe
from lockstep.changes import commands
from lockstep.changes.commands import counted

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
MAX_LATENCY_SECONDS, MAX_FAULT_SECONDS = 600, 86_400


class Options(TypedDict, total=False):
    """The options of the subcommands; each has some of them."""

    name: str | None
    status: int | None
    drop: bool
    latency: float | None
    rate: float | None
    seconds: float | None


class Command(commands.Command):
    help = "Lets the stand-in of a remote system fail, to try an outage. Development only."
    has_json = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Adds the subcommands, each of which is a method of this class."""
        subcommands = commands.Subcommands(parser)
        subcommands.add("status", "which stand-in fails, and how")
        fault = subcommands.add("fault", "lets a stand-in fail until it is mended, or for a time")
        _add_name(fault)
        _add_fault(fault)
        _add_name(subcommands.add("mend", "ends the faults of one stand-in, or of all"), nargs="?")

    def handle(self, *, command: str, **options: Unpack[Options]) -> None:
        if not settings.DEBUG:
            raise CommandError("This command lets remote systems fail: it is for development (DEBUG) only.")
        act: Callable[[Options], None] = getattr(self, f"_{command}")
        try:
            act(options)
        except NoStandIn as error:
            raise CommandError(str(error)) from error

    def _status(self, options: Options) -> None:
        found = [(one, *one.state()) for one in map(StandIn.named, SETTINGS)]
        rows = [{"name": one.name, "url": one.url, "state": state, "faults": faults} for one, state, faults in found]
        lines = [
            f"{one.name:<9} {one.url:<30} {'; '.join(map(describe, faults)) or state}" for one, state, faults in found
        ]
        self.report(rows, lines)
        if any(faults for _, _, faults in found):
            self.suggest("End all faults: `manage.py sandbox mend`")

    def _fault(self, options: Options) -> None:
        stand_in = StandIn.named(options["name"] or "")
        faults = stand_in.set_fault(_wanted(options))
        lines = [f"The stand-in {stand_in.name} {describe(fault)}." for fault in faults]
        self.report({"name": stand_in.name, "url": stand_in.url, "faults": faults}, lines)
        mend = f"manage.py sandbox mend {stand_in.name}"
        self.suggest("See what waits: `manage.py lockstep status`", f"End it sooner: `{mend}`")

    def _mend(self, options: Options) -> None:
        if name := options["name"]:
            removed = {name: StandIn.named(name).mend()}
        else:
            found = [(one, *one.state()) for one in map(StandIn.named, SETTINGS)]
            removed = {one.name: one.mend() for one, state, _ in found if state in ("well", "faulty")}
        lines = [f"{counted(count, 'fault')} of the stand-in {one} ended." for one, count in removed.items() if count]
        self.report({"ended": removed}, lines or ["There was no fault."])
        if any(removed.values()):
            self.suggest("See what still waits: `manage.py lockstep status`")


def _add_name(parser: ArgumentParser, nargs: str | None = None) -> None:
    parser.add_argument("name", metavar="STAND-IN", nargs=nargs, type=_stand_in, help=f"one of {', '.join(SETTINGS)}")


def _add_fault(parser: ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--status", type=_error_status, metavar="STATUS", help="answer with this status, such as 503")
    what.add_argument("--drop", action="store_true", help="carry a request out, and lose its answer")
    parser.add_argument(
        "--latency", type=_duration(MAX_LATENCY_SECONDS), metavar="DURATION", help="wait before each answer, such as 5s"
    )
    parser.add_argument("--rate", type=_rate, metavar="RATE", help="the part of the requests that it meets: 0.5")
    parser.add_argument(
        "--for", dest="seconds", type=_duration(MAX_FAULT_SECONDS), metavar="DURATION",
        help="how long, such as 30s, 5m or 1h; without it until `manage.py sandbox mend`",
    )  # fmt: skip


def _wanted(options: Options) -> dict[str, object]:
    """The fault that the options describe. Raises CommandError."""
    if not (options["status"] or options["latency"] or options["drop"]):
        raise CommandError("Say what goes wrong: --status STATUS, --latency DURATION or --drop.")
    named = {"status": options["status"], "latency": options["latency"], "seconds": options["seconds"]}
    fault: dict[str, object] = {name: value for name, value in named.items() if value}
    if options["drop"]:
        fault |= {"cut": True, "after_effect": True}
    if options["rate"]:
        fault["share"] = options["rate"]
    return fault


def _stand_in(text: str) -> str:
    if text not in SETTINGS:
        raise ArgumentTypeError(f"there is no stand-in {text!r}. There are: {', '.join(SETTINGS)}")
    return text


def _error_status(text: str) -> int:
    if not re.fullmatch("[45][0-9][0-9]", text):
        raise ArgumentTypeError(f"{text!r} is no status of an error: say one from 400 to 599, such as 503")
    return int(text)


def _rate(text: str) -> float:
    if not re.fullmatch(r"(0?\.[0-9]+|1(\.0+)?)", text) or not float(text):
        raise ArgumentTypeError(f"{text!r} is no part of the requests: say a number above 0, up to 1, such as 0.5")
    return float(text)


def _duration(longest: int) -> Callable[[str], float]:
    """An argparse type: seconds, from "500ms", "30s", "5m" or "1h"."""

    def parse(text: str) -> float:
        found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s|m|h)", text)
        seconds = float(found[1]) * UNITS[found[2]] if found else 0
        if not 0 < seconds <= longest:
            raise ArgumentTypeError(f"{text!r} is no duration up to {longest:,} s: say 30s, 5m or 1h")
        return seconds

    return parse
