"""The tables of old and new rows that statement-level triggers read."""

from typing import Any

import pgtrigger

# pgtrigger leaves these untyped.
NEW_ROWS: Any = pgtrigger.Referencing(new="new_rows")  # type: ignore[no-untyped-call]
OLD_ROWS: Any = pgtrigger.Referencing(old="old_rows")  # type: ignore[no-untyped-call]
BOTH_ROWS: Any = pgtrigger.Referencing(old="old_rows", new="new_rows")  # type: ignore[no-untyped-call]
