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

from lockstep.sql import Statement, identifier, statements

IS_DELETED = pgtrigger.Q(old__deleted__isnull=True, new__deleted__isnull=False)
TRIGGERS = statements(__file__, "triggers")


def deletes(*dependents: tuple[str, str], first: Statement | None = None) -> list[pgtrigger.Trigger]:
    """The triggers of a parent that delete its rows in these tables, by these foreign key columns.

    Rows are locked in the order of their ids, as in every statement that writes several. `first` is SQL that runs
    before: it locks rows that other transactions lock before these.
    """
    return [WaitForDependents(), *(_deletes(table, column, first) for table, column in dependents)]


def deletes_of_user(*dependents: tuple[str, str]) -> list[pgtrigger.Trigger]:
    """The triggers of a user that delete its rows; accounts has the trigger that waits for dependents.

    They are for rows that must not outlive the account, for every writer. What is more than a deletion, such as that
    webhooks lose their URLs and secrets, the actions of accounts do.
    """
    return [_deletes(table, column) for table, column in dependents]


class WaitForDependents(pgtrigger.Trigger):
    """By this trigger a deletion waits for transactions that have locked the row as a parent."""

    def __init__(self) -> None:
        super().__init__(name="wait_for_dependents", when=pgtrigger.Before, operation=_deletion(), condition=IS_DELETED)

    def get_func(self, model: Any) -> str:  # noqa: ANN401 - pgtrigger means the class
        """The trigger's body."""
        return TRIGGERS["wait_for_dependents"].with_parts(table=identifier(model._meta.db_table))


def _deletes(table: str, column: str, first: Statement | None = None) -> pgtrigger.Trigger:
    body, parts = TRIGGERS["delete_dependents"], {"table": identifier(table), "column": identifier(column)}
    if first is not None:
        body, parts = TRIGGERS["delete_dependents_after"], {**parts, "first": first}
    return pgtrigger.Trigger(
        name=f"delete_{table}",
        when=pgtrigger.After,
        operation=_deletion(),
        condition=IS_DELETED,
        func=body.with_parts(**parts),
    )


def _deletion() -> pgtrigger.Operation:
    """Updates of `deleted` only, so that other updates do not evaluate the condition."""
    return pgtrigger.UpdateOf("deleted")  # type: ignore[no-untyped-call]
