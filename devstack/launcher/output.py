"""What the launcher prints: whole lines, each behind the name of its process.

A thread of its own writes them. When its reader stalls (a full pipe, a terminal held with Ctrl-S), lines are
dropped and counted; looking after the children never waits for a reader.
"""

import os
import queue
import sys
import threading

from rich.console import Console, RenderableType
from rich.text import Text

COLOURS = {
    "lockstep": "bold cyan",
    "web": "green",
    "worker": "magenta",
    "provider": "yellow",
    "payments": "bright_yellow",
    "counter": "bright_magenta",
    "movies": "bright_green",
    "prepare": "blue",
}
NAME_WIDTH = max(map(len, COLOURS))
WAITING_LINES = 10_000


class Output:
    """`line` prints a line of a child, `say` one of the launcher, `show` something made with rich."""

    def __init__(self) -> None:
        # soft_wrap: a long line stays one line, so that it can be copied whole, also out of a pipe.
        self._console = Console(file=sys.stdout, soft_wrap=True, highlight=False, markup=False)
        self._waiting: queue.Queue[bytes] = queue.Queue(WAITING_LINES)
        self._dropped = 0
        threading.Thread(target=self._write, daemon=True).start()

    def say(self, text: str) -> None:
        self.line("lockstep", text)

    def line(self, name: str, text: str) -> None:
        prefix = Text(f"{name:<{NAME_WIDTH}} │ ", style=COLOURS.get(name, "dim"))
        self.show(prefix.append(text, style="default not bold"))

    def show(self, renderable: RenderableType = "") -> None:
        with self._console.capture() as capture:
            self._console.print(renderable)
        text = capture.get()
        if self._dropped:
            text = f"({self._dropped} lines not shown: the output was not read)\n{text}"
        try:
            self._waiting.put_nowait(text.encode(errors="replace"))
            self._dropped = 0
        except queue.Full:
            self._dropped += 1

    def flush(self, seconds: float = 1.0) -> None:
        """Wait until all is written, but no longer than this."""
        waiter = threading.Thread(target=self._waiting.join, daemon=True)
        waiter.start()
        waiter.join(seconds)

    def _write(self) -> None:
        while True:
            line = self._waiting.get()
            try:
                while line:
                    # Not sys.stdout: its lock, held by a blocked write, would hold up the end of the process.
                    line = line[os.write(1, line) :]
            except OSError:
                pass  # there is no reader any more; the system runs on
            self._waiting.task_done()
