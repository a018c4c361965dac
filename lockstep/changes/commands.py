"""What every command of this project is: full option names, bounded numbers, exit codes, and output that may fail.

Exit codes: 0 when all is well; 1 when something could not be done, wrong arguments among it; 2 when a comparison finds
a difference (`--plan`, `audit`, `counter_gap`).

A command that changes something must not stop halfway because its reader has gone (`… | true`) or the disk under its
output is full (`> /dev/full`): what it was told to do is done, and what could not be written is reported at the end.
"""

import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """The base of our commands. `self.stdout` never raises because of where it leads."""

    _is_executing = False

    def run_from_argv(self, argv: list[str]) -> None:
        """Parses and executes. Wrong arguments end with 1: argparse's own code for them, 2, means a difference here."""
        try:
            super().run_from_argv(argv)
        except SystemExit as end:
            sys.exit(1 if end.code == 2 and not self._is_executing else end.code)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:  # noqa: ANN401 - argparse's
        """Options by their full names: an abbreviation may mean another option in the next version."""
        return super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)

    def execute(self, *args: Any, **options: Any) -> str | None:  # noqa: ANN401 - Django's signature
        """Carries the command out, whatever becomes of its output. Raises CommandError when that was lost."""
        self._is_executing = True
        said: Any = self.stdout  # the stubs do not know what an OutputWrapper wraps
        warned: Any = self.stderr
        output = LossyStream(options.pop("stdout", None) or said._out)
        errors = LossyStream(options.pop("stderr", None) or warned._out)
        said._out, warned._out = output, errors
        try:
            return super().execute(*args, **options)
        finally:
            output.flush()
            output.detach_after_failure()
            errors.detach_after_failure()
            if output.is_lost and isinstance(sys.exception(), SystemExit | None):
                reason = output.failure.strerror if output.failure else ""
                raise CommandError(f"The output could not be written ({reason}). The command itself was carried out.")


class LossyStream:
    """A text stream that keeps the first error of its target in `failure`, and drops what is written after it."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self.failure: OSError | None = None

    @property
    def is_lost(self) -> bool:
        """Whether something is missing that its reader still wants: one that closed a pipe wants no more."""
        return self.failure is not None and not isinstance(self.failure, BrokenPipeError)

    def write(self, text: str) -> int:
        """Writes `text`, unless writing has failed before."""
        self._attempt(lambda: self._target.write(text))
        return len(text)

    def flush(self) -> None:
        """Flushes the target, unless writing has failed before."""
        self._attempt(self._target.flush)

    def _attempt(self, action: Callable[[], object]) -> None:
        if self.failure is not None:
            return
        try:
            action()
        except OSError as error:
            self.failure = error

    def detach_after_failure(self) -> None:
        """Points a standard stream that failed at nothing: the interpreter flushes it again at its end."""
        if self.failure is not None and self._target in (sys.stdout, sys.stderr):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._target.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the target has: isatty, encoding, fileno …
        return getattr(self._target, name)


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
