"""What is known of a provider as a whole: when to look at it, and whether its mending has stopped for a person."""

from datetime import datetime, timedelta
from pathlib import Path

from lockstep.changes.sql_file import load
from lockstep.mirror.collections import Mirror
from lockstep.mirror.models import MirrorState
from lockstep.mirror.remote import Connection

SQL = load(Path(__file__).parent / "sql" / "state.sql")

# How old a write without a clear answer is when the provider is looked at because of it. The drift check, which looks
# every hour, counts what differs as ours until the write is forgotten.
AGES = [timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1)]
KEPT = timedelta(days=1)


def stops() -> dict[str, str]:
    """The providers whose mending has stopped for a person, and why."""
    return dict(MirrorState.objects.exclude(stopped_at=None).values_list("provider", "reason"))


class State:
    """The state of one mirror's provider."""

    def __init__(self, mirror: Mirror, connection: Connection) -> None:
        self._mirror = mirror
        self._connection = connection

    async def is_due(self) -> bool:
        """Whether it is time for a look."""
        return bool(await self._row("is_due", collections=self._mirror.keys, ages=AGES))

    async def look_later(self, seconds: float) -> None:
        """Asks for a look in so many seconds."""
        await self._row("look_later", delay=timedelta(seconds=seconds))

    async def looked(self, began: datetime | None) -> None:
        """A look that began then has been made."""
        await self._row("looked", began=began)

    async def stopped(self) -> str:
        """Why a person has to decide; "" while nobody has to."""
        return (await self._state())[2] or ""

    async def stop(self, reason: str) -> None:
        """A person has to decide."""
        await self._row("stop", reason=reason)

    async def suspect(self) -> bool:
        """Much is missing there; whether it was at a look that is long enough ago."""
        is_confirmed, is_suspected, _ = await self._state()
        if not is_suspected:
            await self._row("suspect")
        return bool(is_confirmed)

    async def go_on(self) -> None:
        """All is well again, or a person has decided."""
        await self._row("go_on")

    async def was_imported(self) -> bool:
        """Whether an import was ever completed."""
        return bool(await self._row("was_imported"))

    async def forget_old_writes(self) -> None:
        """What was sent so long ago has no effect any more."""
        await self._row("forget_old_writes", age=KEPT)

    async def _state(self) -> tuple[bool | None, bool, str | None]:
        second_look = timedelta(seconds=self._mirror.limits().second_look)
        cursor = await self._connection.execute(
            SQL["state"], {"provider": self._mirror.provider, "second_look": second_look}
        )
        return await cursor.fetchone() or (False, False, None)

    async def _row(self, name: str, **parameters: object) -> object:
        """The first value of a statement's first row."""
        cursor = await self._connection.execute(SQL[name], {"provider": self._mirror.provider, **parameters})
        row = await cursor.fetchone() if cursor.description else None
        return row[0] if row else None
