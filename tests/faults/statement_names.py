"""The names of the statements in lockstep/delivery/sql, by their texts."""

from pathlib import Path

from lockstep import delivery
from lockstep.sql import statements

FOLDER = Path(delivery.__file__).parent / "sql"
NAMES: dict[str, tuple[str, str]] = {
    text: (file.stem, name)
    for file in sorted(FOLDER.glob("*.sql"))
    for name, text in statements(delivery.__file__, file.stem).items()
}
