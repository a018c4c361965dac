"""The state of a provider: when to read it, and whether its repair has stopped for an operator."""

from datetime import datetime, timedelta

from lockstep.mirror.collections import Mirror
from lockstep.mirror.models import MirrorState
from lockstep.mirror.remote import Connection
from lockstep.sql import statements

__all__ = ["State"]

SQL = statements(__file__, "state")

# The ages of a write with an unknown outcome at which the provider is read. The hourly drift check counts its effects
# as self-inflicted until the record is deleted.
AGES = [timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1)]
WRITE_RETENTION = timedelta(days=1)


def stops() -> dict[str, str]:
    """The providers whose repair has stopped for an operator, with the reasons."""
    return dict(MirrorState.objects.exclude(stopped_at=None).values_list("provider", "reason"))


class State:
    """The state of one mirror's provider."""

    def __init__(self, mirror: Mirror, connection: Connection) -> None:
        self._mirror = mirror
        self._connection = connection

    async def is_due(self) -> bool:
        """Whether a read is due."""
        return bool(await self._row("is_due", collections=self._mirror.keys, ages=AGES))

    async def look_later(self, seconds: float) -> None:
        """Requests a read in `seconds`."""
        await self._row("look_later", delay=timedelta(seconds=seconds))

    async def looked(self, began: datetime | None) -> None:
        """Records a read that began at this time."""
        await self._row("looked", began=began)

    async def stopped(self) -> str:
        """The reason why the repair has stopped for an operator, or ""."""
        return (await self._state())[2] or ""

    async def stop(self, reason: str) -> None:
        """Stops the repair for an operator."""
        await self._row("stop", reason=reason)

    async def suspect(self) -> bool:
        """Records that many copies are missing. Returns whether an earlier read confirms it."""
        is_confirmed, is_suspected, _ = await self._state()
        if not is_suspected:
            await self._row("suspect")
        return bool(is_confirmed)

    async def resume(self) -> None:
        """Ends a stop or a suspicion."""
        await self._row("resume")

    async def was_imported(self) -> bool:
        """Whether an import was ever completed."""
        return bool(await self._row("was_imported"))

    async def forget_old_writes(self) -> None:
        """Deletes records of writes that can no longer take effect."""
        await self._row("forget_old_writes", age=WRITE_RETENTION)

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
