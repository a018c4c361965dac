"""What a worker's memory grows to while nothing can be delivered."""

import subprocess
import sys
import time

from bench.child import peak
from bench.processes import ROOT
from bench.row import Comparison, Goal, Row, Variant
from bench.tables import Posts, WrongRows, count, empty

WAITING = 1_000_000
BEGINNING = 100  # changes that wait for the peer
NO_LISTENER = "http://127.0.0.1:9/"
PATIENCE = 300.0
LOOK_AGAIN = 5.0  # seconds of trying, once all of them wait


class Memory(Row):
    note = (
        f"MiB of a worker (resident, at most) whose receiver does not answer, once {WAITING:,} changes wait in its "
        f"lanes: it has fanned them out and goes on trying. Beside it: {BEGINNING} changes."
    )
    comparisons = (
        Comparison("worker MiB, a million wait : hardly any", "many", "few", Goal("at most", 150, of="ours")),
    )

    def prepare(self) -> None:
        self.database = self.stack.enter_context(self.place.connection())

    def variants(self) -> dict[str, Variant]:
        return {
            "few": lambda: {"few": self._worker_with(BEGINNING)},
            "many": lambda: {"many": self._worker_with(self.place.scaled(WAITING))},
        }

    def _worker_with(self, changes: int) -> float:
        empty(self.database)
        self.database.execute("""
            INSERT INTO lockstep_subscription (name, kind, follows, cap)
            VALUES ('bench-0', 'event', '{posts.post.*}', 10000000)""")
        Posts(1, changes).insert(self.database)
        command = [sys.executable, "-m", "bench.messenger", NO_LISTENER]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
            try:
                end = time.monotonic() + PATIENCE
                while count(self.database, "lockstep_delivery") < changes:
                    if time.monotonic() > end:
                        raise WrongRows(f"{count(self.database, 'lockstep_delivery')} changes wait")
                    time.sleep(1.0)
                time.sleep(LOOK_AGAIN)
                return peak(worker.pid)
            finally:
                worker.terminate()
