"""The statements in lockstep/delivery/sql: their names, and when a process of a test executes them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg

from lockstep import delivery
from lockstep.sql import statements

FOLDER = Path(delivery.__file__).parent / "sql"
NAMES: dict[str, tuple[str, str]] = {
    text: (file.stem, name)
    for file in sorted(FOLDER.glob("*.sql"))
    for name, text in statements(delivery.__file__, file.stem).items()
}


def watch_statements(reached: Callable[[str], None], names: Mapping[str, str]) -> None:
    """Tells when a statement of this process begins and ends, of those whose texts have a name."""
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
