"""The base of all commands: full option names, bounded numbers, JSON, exit codes, and output that may fail.

Exit codes: 0 for success; 1 for errors, including wrong arguments; others are the command's own, such as 2 where a
comparison finds a difference.

Standard output has the result: lines, or with --json one document. Standard error has warnings, errors and, where both
are terminals and there is no --json, what only a person needs: the progress of long work, and the next steps.

A command that writes must not stop halfway because its output is closed (`… | true`) or the disk is full (`>
/dev/full`): it finishes, and reports lost output at the end.
"""

import json
import os
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, is_dataclass
from typing import Any, ClassVar, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import Error as DatabaseError

from lockstep import telemetry
from lockstep.changes.progress import Progress

__all__ = ["Command", "Subcommands", "counted", "whole_number"]


class Command(BaseCommand):
    """The base of our commands. Writing to `self.stdout` never raises.

    With traces enabled, a `traced` command is a span, and the changes that it writes belong to it.
    """

    traced = False
    has_json = True  # False where only its subcommands have a result, or none
    start_it: ClassVar[str | None] = None  # what to do where the database does not answer, if a project knows better
    is_json = False  # while it is executed with --json
    _is_executing = False

    def run_from_argv(self, argv: list[str]) -> None:
        """Parses and executes. Wrong arguments exit with 1: argparse's own 2 means a difference here.

        An error of the database that its user can mend is one sentence, as for tables that are not migrated.
        """
        try:
            super().run_from_argv(argv)
        except SystemExit as end:
            sys.exit(1 if end.code == 2 and not self._is_executing else end.code)
        except DatabaseError as error:
            # Imported late, because it needs psycopg.
            from lockstep.changes.database_errors import START_IT, explanation

            sentence = explanation(error, start_it=self.start_it or START_IT)
            if "--traceback" in argv or not sentence:
                raise
            self.stderr.write(f"CommandError: {sentence}")
            sys.exit(1)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: object) -> CommandParser:
        """Adds --json. Disallows abbreviated options, which may mean another option in the next version."""
        parser = super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)
        if self.has_json:
            _add_json(parser)
        return parser

    def execute(
        self, *args: object, stdout: TextIO | None = None, stderr: TextIO | None = None, **options: object
    ) -> str | None:
        """Executes the command even if its output fails. Raises CommandError when output was lost."""
        self._is_executing = True
        self.is_json = bool(options.get("json"))
        own_output: Any = self.stdout  # the stubs lack _out
        own_errors: Any = self.stderr
        output = LossyStream(stdout or own_output._out)
        errors = LossyStream(stderr or own_errors._out)
        own_output._out, own_errors._out = output, errors
        try:
            with self._span():
                return super().execute(*args, **options)
        finally:
            output.flush()
            output.detach_after_failure()
            errors.detach_after_failure()
            if output.is_lost and isinstance(sys.exception(), SystemExit | None):
                reason = output.failure.strerror if output.failure else ""
                raise CommandError(f"The output could not be written ({reason}). The command itself was carried out.")

    @property
    def is_at_terminal(self) -> bool:
        """Whether a person reads what is written."""
        return not self.is_json and self.stdout.isatty() and self.stderr.isatty()

    def report(self, result: object, lines: Iterable[str]) -> None:
        """Writes the result: as JSON with --json, else these lines."""
        for line in [as_json(result)] if self.is_json else lines:
            self.stdout.write(line)

    def suggest(self, *steps: str) -> None:
        """Writes what may be done next, for a person only."""
        for step in steps if self.is_at_terminal else ():
            self.stderr.write(step, style_func=str)  # standard error is red otherwise

    def progress(self, what: str, total: int | None = None) -> Progress:
        """The progress of long work, for a person only, in a terminal that can clear a line."""

        def draw(text: str) -> None:
            self.stderr.write(text, style_func=str, ending="")
            self.stderr.flush()

        can_clear = self.is_at_terminal and os.environ.get("TERM") != "dumb"
        return Progress(draw if can_clear else None, what, total)

    @contextmanager
    def _span(self) -> Iterator[None]:
        if self.traced:
            start_traces("command")
        if not self.traced or (spans := telemetry.active) is None:
            yield
            return
        name = type(self).__module__.rpartition(".")[2]
        try:
            with spans.span(name, "internal", {}) as span:
                try:
                    yield
                except BaseException as error:
                    spans.describe(span, {}, error=type(error).__name__)
                    raise
        finally:
            telemetry.flush()


def start_traces(process: str) -> None:
    """Starts traces of this process, where the environment configures them. Raises CommandError."""
    try:
        if telemetry.is_wanted():
            telemetry.start(process)
    except telemetry.Unfit as error:
        raise CommandError(str(error)) from error


class LossyStream:
    """A text stream that keeps the first error of its target in `failure`, and discards all later output."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self.failure: OSError | None = None

    @property
    def is_lost(self) -> bool:
        """Whether output was lost, other than by a closed pipe."""
        return self.failure is not None and not isinstance(self.failure, BrokenPipeError)

    def write(self, text: str) -> int:
        """Writes `text`, unless an earlier write has failed."""
        self._attempt(lambda: self._target.write(text))
        return len(text)

    def flush(self) -> None:
        """Flushes the target, unless an earlier write has failed."""
        self._attempt(self._target.flush)

    def _attempt(self, action: Callable[[], object]) -> None:
        if self.failure is not None:
            return
        try:
            action()
        except OSError as error:
            self.failure = error

    def detach_after_failure(self) -> None:
        """Redirects a failed standard stream to os.devnull: the interpreter flushes it again at its end."""
        if self.failure is not None and self._target in (sys.stdout, sys.stderr):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._target.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> object:
        return getattr(self._target, name)


class Subcommands:
    """Adds subcommands to the parser of a command, whose name is in the option `command`."""

    def __init__(self, parser: ArgumentParser) -> None:
        self._of_every_command = [action for action in parser._actions if action.dest != "help"]
        self._parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(self, name: str, text: str, *, has_json: bool = True) -> ArgumentParser:
        """Adds one; `has_json` is whether it has a result, and with it --json."""
        command = self._parsers.add_parser(
            name, help=text, description=text, allow_abbrev=False, formatter_class=DjangoHelpFormatter
        )
        for action in self._of_every_command:
            # Options such as --settings are accepted after the subcommand too, where they overwrite only if given.
            again = copy(action)
            again.default = SUPPRESS
            command._add_action(again)
        if has_json:
            _add_json(command)
        return command


def _add_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON, for other programs")


def as_json(result: object) -> str:
    """A result, with its dataclasses, as JSON; times and ids are texts."""

    def convert(value: object) -> object:
        return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)

    return json.dumps(result, default=convert, indent=2)


def whole_number(minimum: int) -> Callable[[str], int]:
    """An argparse type: an integer in ASCII digits, at least `minimum`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) >= minimum):
            raise ArgumentTypeError(f"{text!r} is not a whole number of at least {minimum}")
        return int(text)

    return parse


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 change", "2,000 changes"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
