"""The tables of old and new rows that statement-level triggers read."""

import pgtrigger

# pgtrigger leaves these untyped.
NEW_ROWS = pgtrigger.Referencing(new="new_rows")  # type: ignore[no-untyped-call]
OLD_ROWS = pgtrigger.Referencing(old="old_rows")  # type: ignore[no-untyped-call]
BOTH_ROWS = pgtrigger.Referencing(old="old_rows", new="new_rows")  # type: ignore[no-untyped-call]
