"""The statements in lockstep/delivery/sql: their names, and when a process of a test executes them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg

from lockstep import delivery
from lockstep.delivery import relay
from lockstep.sql import statements

FOLDER = Path(delivery.__file__).parent / "sql"
# As they are executed: those with parts are not, and the fan-out is composed of some.
NAMES: dict[str, tuple[str, str]] = {
    text: (file.stem, name)
    for file in sorted(FOLDER.glob("*.sql"))
    for name, text in statements(delivery.__file__, file.stem).items()
    if not text.parts
} | dict.fromkeys((relay.FAN_OUT_FEW, relay.FAN_OUT_CHUNK, relay.FAN_OUT_BESIDE_KEPT), ("relay", "fan_out"))


def watch_statements(reached: Callable[[str], None], names: Mapping[str, str]) -> None:
    """Calls `reached` before and after each statement of this process whose text has a name."""
    execute = psycopg.AsyncConnection.execute

    async def watched(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        name = names.get(query) if isinstance(query, str) else None
        if name is None:
            return await execute(self, query, *arguments, **options)
        reached(f"before {name}")
        result = await execute(self, query, *arguments, **options)
        reached(f"after {name}")
        return result

    psycopg.AsyncConnection.execute = watched
