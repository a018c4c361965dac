"""The progress of long work: one line of a terminal, which is drawn again while the work goes on."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

DRAW_SECONDS = 0.1  # work that takes less than that draws nothing
BAR_WIDTH = 30
CLEAR = "\r\x1b[K"


class Progress:
    """What is done, how much of it, and for how long: a bar where the total is known.

    Without `write` nothing is drawn. The line is gone once the work has ended. A thread draws it, so that it also
    moves during one long statement.
    """

    def __init__(self, write: Callable[[str], object] | None, what: str, total: int | None = None) -> None:
        self.what, self.total, self.done = what, total, 0
        self._write = write
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._drawn = ""
        self._drawing = threading.Lock()
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def __enter__(self) -> Self:
        if self._write:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._write:
            self._thread.join()
            self._clear()

    def advance(self, count: int = 1) -> None:
        """Counts what is done."""
        self.done += count

    def show(self, what: str, done: int) -> None:
        """Sets what is being done, and how much of it is."""
        self.what, self.done = what, done

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """The line is absent inside, so that other lines can be written."""
        with self._drawing:
            self._clear()
            yield

    def line(self, seconds: float) -> str:
        """The line after so many seconds, in ASCII: a terminal may have any encoding."""
        amount = f"{self.done:,}" if self.done else ""
        if self.total:
            filled = BAR_WIDTH * min(self.done, self.total) // self.total
            amount = f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {self.done:,}/{self.total:,}"
        elapsed = f"{int(seconds) // 60}:{int(seconds) % 60:02}"
        return "  ".join(filter(None, [self.what, amount, elapsed]))

    def _draw(self) -> None:
        while self._write and not self._ended.wait(DRAW_SECONDS):
            line = self.line(time.monotonic() - self._began)
            with self._drawing:
                if line != self._drawn:
                    self._write(f"\r{line[: shutil.get_terminal_size().columns - 1]}\x1b[K")
                    self._drawn = line

    def _clear(self) -> None:
        if self._write and self._drawn:
            self._write(CLEAR)
            self._drawn = ""
