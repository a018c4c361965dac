"""Commands: full option names, bounded numbers, JSON, what only a terminal gets, and output that may fail."""

import errno
import io
import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class

from lockstep import telemetry
from lockstep.changes.commands import Command, counted, start_traces, whole_number
from lockstep.changes.progress import Progress
from tests.traces import recording

DJANGOS = {"dumpdata", "flush"}  # commands of Django's, with one step more
OURS = sorted(
    name for name, app in get_commands().items() if str(app).startswith(("backend", "lockstep")) and name not in DJANGOS
)


class Failing(io.StringIO):
    """A target whose reader has gone, or whose disk is full."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


class Working(Command):
    """Writes before, between and after its work."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def handle(self, **options: Any) -> None:
        for _ in range(3):
            self.stdout.write("a line")
            self.stderr.write("a warning")
            self.steps += 1


def test_there_are_commands_of_ours():
    assert "sync_with_fake_system" in OURS
    assert "lockstep" in OURS


@pytest.mark.parametrize("name", OURS)
def test_commands_share_one_base(name: str):
    assert isinstance(load_command_class(get_commands()[name], name), Command)


@pytest.mark.parametrize(
    "words",
    [
        ("sync_with_fake_system", "--pla"),
        ("refresh_movies", "--prun"),
        ("import_data_from_api", "--if-nev"),
        ("lockstep", "audit", "--no-out"),
        ("lockstep", "discard", "name", "--al", "--reason", "r"),
    ],
)
def test_abbreviated_options_are_refused(words: tuple[str, ...]):
    with pytest.raises(CommandError, match="unrecognized arguments: --"):
        call_command(*words)


def parsers_of(parser: ArgumentParser) -> Iterator[ArgumentParser]:
    """The parsers of a command that has no subcommands, or of its subcommands."""
    subparsers = [action for action in parser._actions if isinstance(action, _SubParsersAction)]
    if not subparsers:
        yield parser
    for action in subparsers:
        for inner in action.choices.values():
            yield from parsers_of(inner)


def leaves() -> list[Any]:
    """Each command of ours, and each subcommand."""
    parsers = [load_command_class(get_commands()[name], name).create_parser("manage.py", name) for name in OURS]
    found = [inner for parser in parsers for inner in parsers_of(parser)]
    return [pytest.param(parser, id=parser.prog.removeprefix("manage.py ")) for parser in found]


@pytest.mark.parametrize("parser", leaves())
def test_each_command_takes_full_names_only_and_has_json(parser: ArgumentParser):
    assert parser.allow_abbrev is False
    without = {"manage.py migrate", "manage.py lockstep worker"}  # Django's own output, and none
    assert ("--json" in parser._option_string_actions) == (parser.prog not in without)


@pytest.mark.parametrize("name", OURS)
def test_wrong_arguments_do_not_look_like_a_difference(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        load_command_class(get_commands()[name], name).run_from_argv(["manage.py", name, "--no-such-option"])
    assert end.value.code == 1
    assert "usage: manage.py" in capsys.readouterr().err


@pytest.mark.parametrize("end", [SystemExit(2), CommandError("different", returncode=2)])
def test_a_difference_is_2(end: BaseException, monkeypatch: pytest.MonkeyPatch):
    def differ(self: Command, **options: Any) -> None:
        raise end

    monkeypatch.setattr(Command, "handle", differ)
    monkeypatch.setattr(Command, "requires_system_checks", [])
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "compare"])
    assert ended.value.code == 2


@pytest.mark.parametrize("text", ["-1", "1_0", "\u0661", "+1", " 1", "1.0", "", "9" * 30])
def test_an_argument_that_is_no_integer_is_refused(text: str):
    with pytest.raises(ArgumentTypeError, match="not a whole number"):
        whole_number(0)(text)
    with pytest.raises(CommandError, match="not a whole number"):
        call_command("sync_with_fake_system", f"--max-delete={text}")


def test_whole_numbers_from_the_minimum_on():
    assert whole_number(0)("0") == 0
    assert whole_number(1)("12") == 12
    with pytest.raises(ArgumentTypeError, match="at least 1"):
        whole_number(1)("0")


def test_a_command_continues_after_its_reader_closed_the_pipe():
    command = Working()
    call_command(command, stdout=Failing(errno.EPIPE))
    assert command.steps == 3


def test_work_goes_on_when_output_is_lost_and_the_loss_is_reported():
    command = Working()
    with pytest.raises(CommandError, match="No space left on device"):
        call_command(command, stdout=Failing(errno.ENOSPC))
    assert command.steps == 3


def test_lost_error_output_does_not_stop_the_work():
    command, out = Working(), io.StringIO()
    call_command(command, stdout=out, stderr=Failing(errno.EPIPE))
    assert (command.steps, out.getvalue()) == (3, "a line\n" * 3)


def test_the_exit_code_of_the_work_stands_unless_its_output_is_lost():
    class Drifting(Working):
        def handle(self, **options: Any) -> None:
            super().handle(**options)
            sys.exit(2)

    with pytest.raises(SystemExit, match="2"):
        call_command(Drifting(), stdout=Failing(errno.EPIPE))
    with pytest.raises(CommandError, match="could not be written"):
        call_command(Drifting(), stdout=Failing(errno.ENOSPC))


@pytest.mark.parametrize("target", ["/dev/full", "| true"])
@pytest.mark.needs("linux")
@pytest.mark.slow
def test_processes_end_without_a_traceback_when_output_fails(target: str):
    """The same as a process: the interpreter itself writes to the stream once more when it ends."""
    script = (
        "import sys; from django.conf import settings; settings.configure(); import django; django.setup()\n"
        "from lockstep.changes.tests.test_commands import Working\n"
        "Working().run_from_argv(['manage.py', 'working'])\n"
    )
    if target.startswith("|"):
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open(target, os.O_WRONLY)
    ended = subprocess.run([sys.executable, "-c", script], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    disk_is_full = target == "/dev/full"
    assert ended.returncode == (1 if disk_is_full else 0)
    assert ("CommandError: The output could not be written" in ended.stderr) == disk_is_full
    assert ended.stderr.count("a warning") == 3
    assert "Traceback" not in ended.stderr


def test_one_of_something_has_its_singular():
    assert [counted(number, "change") for number in (0, 1, 2_000)] == ["0 changes", "1 change", "2,000 changes"]


class Terminal(io.StringIO):
    """What a person reads."""

    def isatty(self) -> bool:
        return True


class Long(Command):
    """Works long enough to be watched, and has a next step."""

    def handle(self, **options: Any) -> None:
        with self.progress("working", 4) as progress:
            progress.advance(2)
            deadline = time.monotonic() + 10
            while self.is_at_terminal and not progress._drawn and time.monotonic() < deadline:
                time.sleep(0.01)
            with progress.hidden():
                self.stdout.write("half")
        self.report({"done": 2}, ["done"])
        self.suggest("Go on: `manage.py long`")


def test_a_terminal_gets_progress_and_the_next_step(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    out, err = Terminal(), Terminal()
    call_command(Long(), stdout=out, stderr=err)
    assert out.getvalue() == "half\ndone\n"
    drawn, cleared, rest = err.getvalue().partition("\r\x1b[K")
    assert "working  [###############...............] 2/4  0:00" in drawn
    assert cleared
    assert rest.endswith("Go on: `manage.py long`\n")


@pytest.mark.parametrize(("out", "err"), [(Terminal, io.StringIO), (io.StringIO, Terminal), (io.StringIO, io.StringIO)])
def test_a_pipe_gets_the_result_alone(out: type[io.StringIO], err: type[io.StringIO]):
    read, errors = out(), err()
    call_command(Long(), stdout=read, stderr=errors)
    assert (read.getvalue(), errors.getvalue()) == ("half\ndone\n", "")


def test_json_is_the_result_alone_also_at_a_terminal():
    out, err = Terminal(), Terminal()
    call_command(Long(), json=True, stdout=out, stderr=err)
    assert (json.loads(out.getvalue().removeprefix("half\n")), err.getvalue()) == ({"done": 2}, "")


def test_a_terminal_that_cannot_clear_a_line_gets_no_progress(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "dumb")
    out, err = Terminal(), Terminal()

    class Quiet(Command):
        def handle(self, **options: Any) -> None:
            with self.progress("working"):
                time.sleep(0.3)
            self.suggest("Go on.")

    call_command(Quiet(), stdout=out, stderr=err)
    assert err.getvalue() == "Go on.\n"


def test_progress_without_a_total_counts():
    progress = Progress(None, "reading posts")
    assert progress.line(0) == "reading posts  0:00"
    progress.show("reading comments", 12_000)
    assert progress.line(75) == "reading comments  12,000  1:15"
    progress = Progress(None, "pushing", 3)
    progress.advance(5)  # more than was planned
    assert progress.line(0) == f"pushing  [{'#' * 30}] 5/3  0:00"


class Traced(Command):
    traced = True

    def handle(self, **options: Any) -> str:
        return telemetry.traceparent()


class Untraced(Traced):
    traced = False


class Refusing(Traced):
    def handle(self, **options: Any) -> str:
        raise CommandError("it cannot")


def test_a_command_that_writes_is_a_span(monkeypatch: pytest.MonkeyPatch):
    with recording(monkeypatch) as traces:
        outcomes = [call_command(Traced()), call_command(Untraced())]
        with pytest.raises(CommandError, match="it cannot"):
            call_command(Refusing())
        done, failed = traces.spans
    assert outcomes == [f"00-{done.trace_id}-{done.span_id}-03", ""]
    assert (done.name, done.kind, done.failed) == ("test_commands", "internal", False)
    assert (failed.failed, failed.facts["error.type"]) == (True, "CommandError")


def test_a_command_that_cannot_send_its_traces_reports_it(monkeypatch: pytest.MonkeyPatch):
    def refuse(process: str) -> None:
        raise telemetry.Unfit("OpenTelemetry cannot start: no.")

    monkeypatch.setattr(telemetry, "is_wanted", lambda: True)  # by the environment alone: no setting is needed
    monkeypatch.setattr(telemetry, "start", refuse)
    with pytest.raises(CommandError, match="OpenTelemetry cannot start"):
        start_traces("worker")
