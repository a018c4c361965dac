"""Triggers of products, tags and the stock ledger, which run for every writer. Their bodies are in sql/triggers.sql."""

import pgtrigger

from backend.entities.transition_tables import BOTH_ROWS, NEW_ROWS, OLD_ROWS
from lockstep.sql import Statement, statements

BODIES = statements(__file__, "triggers")
# pgtrigger leaves these untyped.
TEXT_COLUMNS = pgtrigger.UpdateOf("name", "description", "deleted")  # type: ignore[no-untyped-call]
OF_NAME = pgtrigger.UpdateOf("name", "deleted")  # type: ignore[no-untyped-call]
# Not within a trigger that runs with the rights of the ledger's owner; a trigger of the session's own role is no
# exception.
NOT_NESTED = pgtrigger.Condition(
    "pg_trigger_depth() = 0 OR NOT has_table_privilege('shop_movement'::regclass, 'TRIGGER')"
)

PRODUCT = [
    pgtrigger.Trigger(
        name="open_ledger",
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=pgtrigger.Insert,
        referencing=NEW_ROWS,
        func=BODIES["open_ledger"],
    ),
    pgtrigger.Trigger(
        name="correct_ledger",
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=pgtrigger.Update,
        referencing=BOTH_ROWS,
        condition=NOT_NESTED,
        func=BODIES["correct_ledger"],
    ),
    pgtrigger.Trigger(
        name="close_ledger",
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=pgtrigger.Delete,
        referencing=OLD_ROWS,
        func=BODIES["close_ledger"].with_parts(rows=Statement("old_rows")),
    ),
    pgtrigger.Trigger(
        name="close_ledgers",
        level=pgtrigger.Statement,
        when=pgtrigger.Before,
        operation=pgtrigger.Truncate,
        func=BODIES["close_ledger"].with_parts(rows=Statement("shop_product")),
    ),
    pgtrigger.Trigger(
        name="index_new",
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=pgtrigger.Insert,
        referencing=NEW_ROWS,
        func=BODIES["index_new"],
    ),
    # By row: a statement trigger would run at every sale, this one only when words change.
    pgtrigger.Trigger(
        name="index_words",
        when=pgtrigger.After,
        operation=TEXT_COLUMNS,
        condition=pgtrigger.AnyChange("name", "description", "deleted"),
        func=BODIES["index_words"],
    ),
]
TAG = [
    pgtrigger.Trigger(
        name="tagged",
        when=pgtrigger.After,
        operation=OF_NAME,
        condition=pgtrigger.AnyChange("name", "deleted"),
        func=BODIES["tagged"],
    ),
]
PRODUCT_TAG = [
    pgtrigger.Trigger(
        name=name,
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=operation,
        referencing=referencing,
        func=BODIES[name],
    )
    for name, operation, referencing in (
        ("linked", pgtrigger.Insert, NEW_ROWS),
        ("relinked", pgtrigger.Update, BOTH_ROWS),
        ("unlinked", pgtrigger.Delete, OLD_ROWS),
    )
]
MOVEMENT = [
    pgtrigger.Trigger(
        name="move_stock",
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=pgtrigger.Insert,
        referencing=NEW_ROWS,
        condition=NOT_NESTED,
        declare=[("moved", "bigint")],
        func=BODIES["move_stock"],
    ),
    pgtrigger.Protect(name="never_rewritten", operation=pgtrigger.Update | pgtrigger.Delete),
    pgtrigger.Trigger(
        name="never_emptied",
        level=pgtrigger.Statement,
        when=pgtrigger.Before,
        operation=pgtrigger.Truncate,
        func=BODIES["never_emptied"],
    ),
]
