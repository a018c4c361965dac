"""Child processes: started, listened to, started again when they die, ended in order.

One thread does it all, in `Supervisor.step`. Each child leads a session of its own, so that Ctrl-C in the
terminal reaches the launcher alone and the launcher decides the order in which they end.
"""

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from devstack.launcher.account import Account, open_no_link
from devstack.launcher.output import Output

FIRST_DELAY, MAX_DELAY, HEALTHY_SECONDS = 0.2, 10.0, 30.0
MAX_LINE = 64 * 1024
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass
class Program:
    """What to run. `command` is called at every start, because a port may have changed.

    `on_death(code)` is called each time that it dies; a LauncherError from there ends everything. `stop_signal` ends
    it; the kernel sends `death_signal` when the launcher has died.
    """

    name: str
    command: Callable[[], list[str]]
    environment: Mapping[str, str]
    folder: Path
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    account: Account | None = None
    log: Path | None = None
    restart: bool = True
    on_death: Callable[[int], None] = field(default=lambda code: None)


def spawn(program: Program) -> subprocess.Popen[bytes]:
    """Starts it. Its output goes to its log, else to `stdout` of the returned process."""
    prefix = program.account.prefix(program.death_signal.name[3:]) if program.account else []
    options = program.account.popen_options() if program.account else {}
    log = program.log
    with open(log, "ab", opener=open_no_link) if log else contextlib.nullcontext(subprocess.PIPE) as target:
        return subprocess.Popen(
            [*prefix, *program.command()],
            cwd=program.folder,
            env=program.environment,
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=tied_to_this_process(program.death_signal),
            **options,
        )


def tied_to_this_process(death_signal: signal.Signals) -> Callable[[], None] | None:
    """To be called in a new child: it gets the signal when this process dies, however it dies (Linux)."""
    if _libc is None:
        return None
    libc, parent = _libc, os.getpid()

    def tie() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # it died before the tie was made
            os._exit(1)

    return tie


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Without collecting its exit code: until then its process id cannot be reused."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process, if it lives, and all that it started and left in its group."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


class Child:
    """A program, the process that runs it at the moment, and when to start the next one."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.code: int | None = None
        self.deaths = 0
        self.due: float | None = 0.0
        self._started = 0.0
        self._delay = FIRST_DELAY
        self._unfinished = b""

    def start(self) -> None:
        self.process, self.due, self._started = spawn(self.program), None, time.monotonic()

    @property
    def pipe(self) -> IO[bytes] | None:
        return self.process.stdout if self.process else None

    def is_running(self) -> bool:
        return self.process is not None and not has_ended(self.process)

    def kill_group(self) -> None:
        if self.process is not None:
            kill_group(self.process)

    def collect(self) -> tuple[int, float]:
        """The exit code of the dead process, and the seconds to wait before the next start."""
        assert self.process is not None  # noqa: S101 - called for a process that has ended
        self.code, self.process = self.process.wait(), None
        self.deaths += 1
        lived = time.monotonic() - self._started
        delay = FIRST_DELAY if lived >= HEALTHY_SECONDS else self._delay
        self._delay = min(delay * 2, MAX_DELAY)
        self.due = time.monotonic() + delay if self.program.restart else None
        return self.code, delay

    def send(self, signal_: signal.Signals) -> None:
        if self.process is not None and not has_ended(self.process):
            self.process.send_signal(signal_)

    def lines(self, data: bytes) -> list[str]:
        """The whole lines so far; at the end (no data) also the unfinished one."""
        *whole, rest = (self._unfinished + data).split(b"\n")
        if not data or len(rest) > MAX_LINE:
            whole, rest = [*whole, rest] if rest else whole, b""
        self._unfinished = rest
        return [line.decode(errors="replace").rstrip("\r") for line in whole]


class Supervisor:
    """All children together. `stopping` is set by signals; `wait` returns early then."""

    def __init__(self, output: Output, is_orphaned: Callable[[], bool] = lambda: False) -> None:
        self.stopping = False
        self._output = output
        self._is_orphaned = is_orphaned
        self._children: list[Child] = []
        self._ended: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._wake, wake_end = os.pipe()
        for end in (self._wake, wake_end):
            os.set_blocking(end, False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)

    def listen_to_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
            signal.signal(signal.SIGHUP, self._stop)
        # The handler has nothing to do: its arrival wakes `step`, which looks after all children.
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def _stop(self, number: int, frame: object) -> None:
        self.stopping = True

    def add(self, program: Program) -> Child:
        child = Child(program)
        self._children.append(child)
        self._start(child)
        return child

    def _start(self, child: Child) -> None:
        child.start()
        if child.pipe:
            os.set_blocking(child.pipe.fileno(), False)
            self._selector.register(child.pipe, selectors.EVENT_READ, child)

    def wait(self, condition: Callable[[], bool], every: float = 0.05) -> bool:
        """Supervise the children until the condition holds; False if a stop was requested before."""
        while not self.stopping:
            if condition():
                return True
            self.step(every)
        return False

    def run_once(self, program: Program) -> int | None:
        """Run to the end; its exit code, or None if a stop was requested before."""
        child = self.add(program)
        if not self.wait(lambda: child.code is not None, every=0.5):
            return None
        self._children.remove(child)
        return child.code

    def deaths(self, name: str) -> int:
        return sum(child.deaths for child in self._children if child.program.name == name)

    def step(self, seconds: float) -> None:
        """One round: (1) pass on the output of children, (2) reap the dead, (3) start those that are due."""
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                os.read(self._wake, 4096)
            else:
                self._pass_on(key.data)
        for child in self._children:
            if child.process is not None and has_ended(child.process):
                self._reap(child)
        for child in self._children:
            if child.due is not None and child.due <= time.monotonic() and not self.stopping:
                self._start(child)
        self.stopping = self.stopping or self._is_orphaned()

    def _pass_on(self, child: Child) -> bool:
        """Print what the child's pipe holds; False when there is no more."""
        if child.pipe is None or child.pipe.closed:
            return False
        try:
            data = os.read(child.pipe.fileno(), 65536)
        except BlockingIOError:
            return False
        for line in child.lines(data):
            self._output.line(child.program.name, line)
        if not data:
            self._close(child)
        return bool(data)

    def _close(self, child: Child) -> None:
        if child.pipe and not child.pipe.closed:
            self._selector.unregister(child.pipe)
            child.pipe.close()

    def _reap(self, child: Child) -> None:
        """Reads the rest of its output. Processes that inherited its pipe end with it, so the output ends."""
        child.kill_group()
        while self._pass_on(child):
            pass
        self._close(child)
        code, delay = child.collect()
        if self.stopping:
            return
        if child.program.restart:
            name, how = child.program.name, described(code)
            self._output.say(f"{name} {how}; starting it again in {delay:.1f} s.")
        child.program.on_death(code)

    def stop(self, *stages: tuple[Iterable[str], float]) -> None:
        """Ends the named children, stage after stage: signals them, waits for at most these seconds, kills them."""
        self.stopping = True
        for names, seconds in stages:
            chosen = [child for child in self._children if child.program.name in names]
            for child in chosen:
                child.send(child.program.stop_signal)
            deadline = time.monotonic() + seconds
            while any(child.is_running() for child in chosen) and time.monotonic() < deadline:
                self.step(0.05)
            for child in chosen:
                if child.process is not None:
                    self._reap(child)


def described(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    return f"was ended by {signal.Signals(-code).name}"
