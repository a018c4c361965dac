import os
import signal
import sys
import time
from pathlib import Path

import pytest

from devstack.launcher.children import Program, Supervisor
from devstack.launcher.errors import PreparationFailed


class Spoken:
    """In the place of Output: remembers."""

    def __init__(self):
        self.lines = []

    def line(self, name, text):
        self.lines.append((name, text))

    def say(self, text):
        self.line("lockstep", text)


@pytest.fixture
def spoken():
    return Spoken()


@pytest.fixture
def supervisor(spoken):
    one = Supervisor(spoken)
    yield one
    one.stop((("a", "b"), 2.0))
    signal.set_wakeup_fd(-1)


def program(name, script, **more):
    command = [sys.executable, "-u", "-c", script]
    return Program(name, lambda: command, dict(os.environ), Path("/"), **more)


def within(supervisor, condition, seconds=20):
    deadline = time.monotonic() + seconds
    supervisor.wait(lambda: condition() or time.monotonic() > deadline)
    assert condition()


def test_complete_lines_are_printed_with_the_name_of_their_process(supervisor, spoken):
    script = "import sys; sys.stdout.write('one\\ntw'); sys.stdout.flush(); sys.stdout.write('o\\nlast')"
    assert supervisor.run_once(program("a", script, restart=False)) == 0
    assert spoken.lines == [("a", "one"), ("a", "two"), ("a", "last")]


def test_the_exit_code_of_a_single_run_is_its_answer(supervisor):
    assert supervisor.run_once(program("a", "raise SystemExit(3)", restart=False)) == 3


def test_a_dead_child_is_started_again_later_and_later(supervisor, spoken):
    child = supervisor.add(program("a", "raise SystemExit(1)"))
    within(supervisor, lambda: child.deaths == 3)
    said = [text for name, text in spoken.lines if name == "lockstep"]
    assert [text.split("again in ")[1] for text in said] == ["0.2 s.", "0.4 s.", "0.8 s."]


def test_what_a_dead_child_left_behind_is_ended_too(supervisor, spoken):
    script = "import os, time\nif pid := os.fork(): print(pid); os.kill(os.getpid(), 9)\ntime.sleep(60)"
    child = supervisor.add(program("a", script))
    within(supervisor, lambda: child.deaths == 1)
    left = int(next(text for name, text in spoken.lines if name == "a"))
    within(supervisor, lambda: not is_alive(left))


def is_alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_process_that_ignores_sigterm_is_killed(supervisor, spoken):
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"
    child = supervisor.add(program("a", script))
    within(supervisor, lambda: ("a", "up") in spoken.lines)
    supervisor.stop((("a",), 0.3))
    assert child.code == -signal.SIGKILL


def test_stages_end_one_after_the_other(supervisor, spoken):
    def script(name):
        on_signal = f"signal.signal(15, lambda *_: sys.exit(print('{name} ends')))"
        return f"import signal, sys, time; {on_signal}; print('up'); [time.sleep(0.01) for _ in iter(int, 1)]"

    for name in ("a", "b"):
        supervisor.add(program(name, script(name)))
    within(supervisor, lambda: spoken.lines.count(("a", "up")) == spoken.lines.count(("b", "up")) == 1)
    supervisor.stop((("b",), 5), (("a",), 5))
    assert [text for _, text in spoken.lines if text.endswith("ends")] == ["b ends", "a ends"]


def test_what_on_death_raises_ends_the_wait(supervisor):
    def refuse(code):
        raise PreparationFailed

    supervisor.add(program("a", "raise SystemExit(1)", on_death=refuse))
    with pytest.raises(PreparationFailed):
        within(supervisor, lambda: False, 20)


def test_a_child_ends_with_the_process_that_started_it(tmp_path):
    script = f"""
import os, pathlib, sys
from devstack.launcher.children import Program, spawn
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
process = spawn(Program("a", lambda: sleep, dict(os.environ), pathlib.Path("/")))
pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(process.pid))
os.kill(os.getpid(), 9)
"""
    import subprocess

    subprocess.run([sys.executable, "-c", script], check=False)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)
