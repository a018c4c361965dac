"""A healthy receiver among sick ones, against the same receiver among healthy ones."""

import subprocess
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from bench.peers import start
from bench.processes import ROOT, Listener
from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.sick import SICK
from bench.tables import empty
from bench.waits import announced_writes, measure_waits

WRITES, RATE = 400, 20


class Neighbours(Row):
    note = (
        f"ms from the commit of a post to its arrival at a healthy receiver over signed HTTP; {WRITES} posts at {RATE} "
        f"a second, which one worker sends to {len(SICK)} other receivers too: healthy ones, or "
        f"{', '.join(name.strip('/') for name in SICK)}, one of each."
    )
    comparisons = (
        Comparison("p99 ms, among sick : among healthy", "sick, p99", "healthy, p99", Goal("at most", 1.2)),
        Comparison("p50 ms, among sick : among healthy", "sick, p50", "healthy, p50"),
    )

    def prepare(self) -> None:
        self.database = self.stack.enter_context(self.place.connection())
        command = [sys.executable, "-m", "bench.sick"]
        server = start(self.stack, command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert server.stdout
        self.url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        self.listener = Listener(TextIOWrapper(server.stdout))
        self.listener.start()

    def variants(self) -> dict[str, Variant]:
        return {
            "healthy": lambda: self._among("healthy", ["/well"] * len(SICK)),
            "sick": lambda: self._among("sick", list(SICK)),
        }

    def _among(self, name: str, others: Sequence[str]) -> Figures:
        empty(self.database)
        self.listener.arrived.clear()
        command = [sys.executable, "-m", "bench.messenger", *(self.url + path for path in ("/watched", *others))]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
            try:
                assert worker.stdout
                worker.stdout.readline()
                amount = self.place.scaled(WRITES)
                write = announced_writes(self.database)
                return measure_waits(name, amount, RATE, write, lambda: self.listener.arrived)
            finally:
                worker.terminate()
