"""What one PostgreSQL carries: the cost of each stage of a change, and the arithmetic of docs/capacity.md.

    python -m bench.capacity        # some two minutes

It measures the processor time of PostgreSQL's processes and of a worker, and the bytes of WAL, for each change: written
with and without capture, placed for one subscription, delivered within the database and over signed HTTP. Processor
time depends less than a rate on what else the machine does. Then it says what a number of cores carries by these costs,
and compares the model's rate of one worker on this machine with the measured one.
"""

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.place import Connection, Place, open_place
from bench.row import Figures
from bench.rows.delivery import Delivery
from bench.rows.fan_out import FanOut
from bench.tables import Posts, empty, silenced, without_capture
from lockstep.delivery.database import Connection as AsyncConnection
from lockstep.delivery.subscriptions import Subscriber

WRITES = 10_000
USABLE = 0.7  # of a core: above it, waits grow faster than the load
TENANTS, TRIALS = 1_000, 50  # of the simulation of shards
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What one change costs in one stage: microseconds of processor time, bytes of WAL."""

    database: float
    worker: float = 0.0
    wal: float = 0.0

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.database - other.database, self.worker - other.worker, self.wal - other.wal)


@dataclass(frozen=True)
class Costs:
    """The costs of the stages; `within` and `http` are deliveries, without fan-out."""

    write: Cost  # of one row, without capture
    capture: Cost
    fan_out: Cost
    within: Cost
    http: Cost

    def cores(self, changes: float, deliveries: float) -> tuple[float, float]:
        """Cores of the database and of workers, for changes a second of which each is delivered so often over HTTP."""
        each = self.write.database + self.capture.database + deliveries * (self.fan_out.database + self.http.database)
        return changes * each / 1e6, changes * deliveries * (self.fan_out.worker + self.http.worker) / 1e6

    def wal(self, changes: float, deliveries: float) -> float:
        """Bytes of WAL a second."""
        return changes * (self.write.wal + self.capture.wal + deliveries * (self.fan_out.wal + self.http.wal))

    def one_worker(self, cores: float) -> float:
        """Changes a second that one worker hands to handlers within the database, sharing so many cores with it.

        A worker is one thread; the database's part runs beside it as far as there are cores.
        """
        worker = self.fan_out.worker + self.within.worker
        database = self.fan_out.database + self.within.database
        return 1e6 / max(worker, (worker + database) / cores)


def shards_worth(shards: int) -> float:
    """How many times the load of one database so many carry, with tenants spread at random: the fullest limits it.

    The load of a tenant falls with its rank: the second has half of the first's, the third a third. The largest of
    TENANTS has an eighth of all, so it alone fills its shard where there are more than eight.
    """
    loads = [1 / rank for rank in range(1, TENANTS + 1)]
    worths = []
    for seed in range(TRIALS):
        chance = random.Random(seed)  # the same shards each time
        filled = [0.0] * shards
        for load in loads:
            filled[chance.randrange(shards)] += load
        worths.append(sum(loads) / max(filled))
    return statistics.median(worths)


@dataclass
class Meter:
    """Processor time of the database's processes and of this one, and WAL."""

    database: Connection
    spent: list[Cost] = field(default_factory=list)

    @contextmanager
    def over(self, changes: int) -> Iterator[None]:
        """Adds the cost of one of so many changes to `spent`."""
        before = self._read()
        yield
        total = self._read() - before
        self.spent.append(Cost(total.database / changes, total.worker / changes, total.wal / changes))

    def _read(self) -> Cost:
        ((pid, wal),) = self.database.execute(
            "SELECT pg_backend_pid(), (pg_current_wal_insert_lsn() - '0/0')::float8"
        ).fetchall()
        return Cost(_server_seconds(pid) * 1e6, time.process_time() * 1e6, wal)

    @property
    def median(self) -> Cost:
        """By the database's time."""
        return sorted(self.spent, key=lambda cost: cost.database)[len(self.spent) // 2]


def _server_seconds(backend: int) -> float:
    """Processor time of all processes of the server of this backend, ended ones too."""
    postmaster = _stat(backend)[1]
    own = [stat for stat in map(_stat, _pids()) if stat and postmaster in (stat[0], stat[1])]
    ended = next(stat[3] for stat in own if stat[0] == postmaster)
    return sum(stat[2] for stat in own) + ended


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> tuple[int, int, float, float]:
    """Process, parent, its seconds, those of its ended children; zeros where it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0, 0.0, 0.0
    user, system, user_of_ended, system_of_ended = (int(word) / TICK for word in words[11:15])
    return pid, int(words[1]), user + system, user_of_ended + system_of_ended


class MeteredFanOut(FanOut):
    """The row of the bench, with what it spends."""

    meter: Meter

    async def _rate(self, connection: AsyncConnection) -> float:
        with self.meter.over(self.changes):
            return await super()._rate(connection)


class MeteredDelivery(Delivery):
    """The row of the bench without its peers, with what it spends; the costs have fan-out in them."""

    meter: Meter

    def prepare(self) -> None:
        self.database = self.stack.enter_context(self.place.connection())
        self.start_receiver()

    async def _rate(self, who: Subscriber, changes: int) -> float:
        with self.meter.over(changes):
            return await super()._rate(who, changes)


def measure(place: Place, stack: ExitStack, rounds: int) -> tuple[Costs, Figures]:
    """The costs, and the rates that were measured beside them."""
    database = stack.enter_context(place.connection())
    fan_out, delivery = MeteredFanOut(place, stack), MeteredDelivery(place, stack)
    fan_out.prepare()
    delivery.prepare()
    meters = {name: Meter(database) for name in ("bare", "captured", "fan-out", "within", "signed HTTP")}
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        write(database, place.scaled(WRITES), meters["bare"], meters["captured"])
        for row in (fan_out, delivery):
            for name, variant in row.variants().items():
                if name in meters:
                    row.meter = meters[name]
                    rates.setdefault(name, []).append(variant()[name])
    bare, captured, placed, within, http = (meter.median for meter in meters.values())
    of_writer = replace(captured - bare, worker=0.0)  # it is this process, and no worker
    costs = Costs(replace(bare, worker=0.0), of_writer, placed, within - placed, http - placed)
    return costs, {name: sorted(each)[len(each) // 2] for name, each in rates.items()}


def write(database: Connection, writes: int, bare: Meter, captured: Meter) -> None:
    """Updates of one row, each committed by itself, without and with capture."""
    empty(database)
    with silenced(database, "posts_post"):
        Posts(1, writes).insert(database)
    with without_capture(database, "posts_post"), bare.over(writes):
        update(database, writes)
    with captured.over(writes):
        update(database, writes)


def update(database: Connection, writes: int) -> None:
    """One statement for each row."""
    for number in range(1, writes + 1):
        database.execute("UPDATE posts_post SET title = title || '.' WHERE number = %s", [number])


def main() -> None:
    """Prints costs, what cores carry, and how far the model is from the measured rate of one worker."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__, allow_abbrev=False)
    parser.add_argument("--runs", type=int, default=3, help="rounds, of which the medians count")
    parser.add_argument("--scale", type=float, default=0.5, help="of the amounts of data")
    options = parser.parse_args()
    with open_place(options.scale) as place, ExitStack() as stack:
        costs, rates = measure(place, stack, options.runs)
    sys.stdout.write("\n".join(lines(costs, rates)) + "\n")


def lines(costs: Costs, rates: Figures) -> Iterator[str]:
    """What is printed."""
    yield "of one change              database, µs   worker, µs   WAL, bytes"
    for name, cost in vars(costs).items():
        yield f"{name:26} {cost.database:12.1f} {cost.worker:12.1f} {cost.wal:12.0f}"
    yield ""
    yield f"changes/s  deliveries of each   database, cores   workers, cores   WAL, MB/s   (at {USABLE:.0%} of a core)"
    for changes in (100, 1_000, 5_000, 10_000):
        for deliveries in (1, 5):
            database, workers = (cores / USABLE for cores in costs.cores(changes, deliveries))
            wal = costs.wal(changes, deliveries) / 1e6
            yield f"{changes:9,} {deliveries:19} {database:17.2f} {workers:16.2f} {wal:11.1f}"
    yield ""
    cores = len(os.sched_getaffinity(0))
    model = costs.one_worker(cores)
    yield f"one worker within the database on these {cores} cores: {model:,.0f}/s by the model,"
    yield f"{rates['within']:,.0f}/s measured, {rates['within'] / model:.2f} of it"
    yield ""
    yield f"shards by tenant ({TENANTS:,} of falling size, spread at random), and how many databases they are worth:"
    yield ", ".join(f"{shards}: {shards_worth(shards):.1f}" for shards in (1, 2, 4, 8, 16, 32))


if __name__ == "__main__":
    main()
