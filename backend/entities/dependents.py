"""Triggers that delete the children of a softly deleted row, in the same transaction, for every writer.

    class Movie(Entity):
        class Meta:
            triggers = [*deletes(("movies_rating", "movie_id")), …]
    class Rating(Entity):
        class Meta:
            triggers = [*AliveParent.of("movie"), …]

Both sides are needed. A new row locks its parent as a foreign key does, and a deletion waits for that lock before it
reads rows: either the deletion finds the new row, or the new row finds its parent deleted and is refused. For a parent
in another app, a proxy model has the triggers: see Seller of the shop.
"""

from typing import Any

import pgtrigger

IS_DELETED = pgtrigger.Q(old__deleted__isnull=True, new__deleted__isnull=False)
WAIT: Any = pgtrigger.Func(  # type: ignore[no-untyped-call]  # pgtrigger leaves it untyped
    "PERFORM FROM {meta.db_table} WHERE id = NEW.id FOR UPDATE; RETURN NEW;"
)
ROWS = """
UPDATE {table} SET deleted = NEW.deleted WHERE id = ANY (ARRAY(
    SELECT id FROM {table} WHERE {column} = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));
RETURN NULL;
"""


def deletes(*dependents: tuple[str, str], first: str = "") -> list[pgtrigger.Trigger]:
    """The triggers of a parent that delete its rows in these tables, by these foreign key columns.

    Rows are locked in the order of their ids, as in every statement that writes several. `first` is SQL that runs
    before: it locks rows that other transactions lock before these.
    """
    return [wait_for_dependents(), *(_deletes(table, column, first) for table, column in dependents)]


def deletes_of_user(*dependents: tuple[str, str]) -> list[pgtrigger.Trigger]:
    """The triggers of a user that delete its rows; accounts has the trigger that waits for dependents.

    They are for rows that must not outlive the account, for every writer. What is more than a deletion, such as that
    webhooks lose their URLs and secrets, the actions of accounts do.
    """
    return [_deletes(table, column) for table, column in dependents]


def wait_for_dependents() -> pgtrigger.Trigger:
    """The trigger by which a deletion waits for transactions that have locked the row as a parent."""
    return pgtrigger.Trigger(
        name="wait_for_dependents",
        when=pgtrigger.Before,
        operation=_deletion(),
        condition=IS_DELETED,
        func=WAIT,
    )


def _deletes(table: str, column: str, first: str = "") -> pgtrigger.Trigger:
    return pgtrigger.Trigger(
        name=f"delete_{table}",
        when=pgtrigger.After,
        operation=_deletion(),
        condition=IS_DELETED,
        func=first + ROWS.format(table=table, column=column),
    )


def _deletion() -> Any:  # noqa: ANN401 - pgtrigger leaves it untyped
    """Updates of `deleted` only, so that other updates do not evaluate the condition."""
    return pgtrigger.UpdateOf("deleted")  # type: ignore[no-untyped-call]
