"""Work whose time and memory are those of a process of its own: `python -m bench.child import|list|plan`.

Prints its figures as JSON. Memory is the highest so far: after a tenth of the objects and at the end.
"""

import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import django
import orjson

MIB = 2**20
BEGINNING = 0.1  # of the objects: when memory is looked at for the first time


class Meter:
    """Counts objects as they come and looks at the memory on the way."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.peaks: list[tuple[int, float]] = []
        self.found = 0  # differences, where it looks for some
        self._before: dict[str, int] = {}

    def note(self, collection: str, count: int) -> None:
        """So many objects of the collection have come by now."""
        self._before[collection] = count
        self.peaks.append((self.objects, peak()))

    @property
    def objects(self) -> int:
        """Of all collections."""
        return sum(self._before.values())

    def figures(self) -> dict[str, float]:
        """Seconds, objects/s and MiB since `began`."""
        seconds = time.perf_counter() - self.began
        early = next(memory for count, memory in self.peaks if count >= BEGINNING * self.objects)
        return {
            "seconds": seconds,
            "objects/s": self.objects / seconds,
            "MiB at 10 %": early,
            "MiB at 100 %": peak(),
            "found": float(self.found),
        }


def peak(pid: int | str = "self") -> float:
    """The most memory that a process has had resident, in MiB. Of another process on Linux alone."""
    try:
        # getrusage would count what the parent had when it started us.
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / MIB
    except OSError:
        if pid != "self":
            raise
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


async def take_in(meter: Meter) -> None:
    """The import, as the command runs it."""
    from backend.posts.mirror import JSONPLACEHOLDER
    from lockstep.delivery.database import open_pool
    from lockstep.mirror.importing import import_all

    async with JSONPLACEHOLDER.open_client() as client, open_pool(size=2) as pool:
        meter.began = time.perf_counter()
        reports = await import_all(JSONPLACEHOLDER, client, pool, lambda r: meter.note(r.collection, r.taken))
    if problems := [report.error for report in reports if report.error or report.refused]:
        raise RuntimeError(f"the import was not clean: {problems}")


async def only_list(meter: Meter) -> None:
    """The provider's lists, read and thrown away."""
    from backend.posts.mirror import JSONPLACEHOLDER

    async with JSONPLACEHOLDER.open_client() as client:
        meter.began = time.perf_counter()
        for collection in JSONPLACEHOLDER.collections:
            count = 0
            async with client.stream(collection.name) as stream:
                async for batch in stream:
                    count += len(batch)
                    meter.note(collection.name, count)


async def plan(meter: Meter) -> None:
    """A sync plan."""
    from backend.posts.mirror import JSONPLACEHOLDER
    from lockstep.delivery.database import open_pool
    from lockstep.mirror.plan import Plan

    async with JSONPLACEHOLDER.open_client() as client, open_pool(size=1) as pool, pool.connection() as connection:
        meter.began = time.perf_counter()
        made = Plan(JSONPLACEHOLDER, connection)
        await made.make(client, meter.note)
        meter.found = made.drift


TASKS: dict[str, Callable[[Meter], Awaitable[None]]] = {"import": take_in, "list": only_list, "plan": plan}


async def main(task: str) -> None:
    """Runs one task; the clock stops when it returns, before the process ends."""
    meter = Meter()
    await TASKS[task](meter)
    sys.stdout.write(orjson.dumps(meter.figures()).decode())


if __name__ == "__main__":
    django.setup()
    asyncio.run(main(sys.argv[1]))
