"""Changes of the log, as pages show them: with their columns before and after."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property

from django.contrib.auth import get_user_model
from psycopg.rows import TupleRow

from lockstep import console
from lockstep.changes.capture import Document, declared
from lockstep.console.reads.actors import USER
from lockstep.console.reads.rows import read_rows
from lockstep.sql import statements

SQL = statements(console.__file__, "changes")

NEWEST = 2**63 - 1  # before this number are all changes
WINDOW = 10_000  # changes of the log that a page looks at
MAX_SHOWN = 400  # characters of a value
MAX_IN_LINE = 60  # characters of a value in a line
MAX_COLUMNS_IN_LINE = 3


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a column: its text, or a remark where it has none."""

    text: str = ""
    remark: str = ""


NOTHING = Value(remark="none")


@dataclass(frozen=True, slots=True)
class ColumnDiff:
    """A captured column before and after a change."""

    name: str
    before: Value
    after: Value
    is_changed: bool


@dataclass(frozen=True)
class ChangeRow:
    """A change in the log."""

    seq: int
    at: datetime
    model: str
    object_id: str
    kind: str
    before: Document | None
    after: Document | None
    actor: str | None
    origin: str | None
    trace: str | None
    xid: str

    @classmethod
    def of_row(cls, row: TupleRow) -> "ChangeRow":
        """The change of a row of the statements, in which JSON is text."""
        seq, at, model, object_id, kind, before, after, actor, origin, trace, xid = row
        old, new = (json.loads(text) if text else None for text in (before, after))
        return cls(seq, at, model, object_id, kind, old, new, actor, origin, trace, xid)

    @cached_property
    def columns(self) -> list[ColumnDiff]:
        """The captured columns: changed ones first, and each as the model's capture orders them."""
        before, after = self.before or {}, self.after or {}
        names = _in_order(self.model, before.keys() | after.keys())
        diffs = [
            ColumnDiff(
                name,
                shown(before.get(name, ...), MAX_SHOWN),
                shown(after.get(name, ...), MAX_SHOWN),
                before.get(name, ...) != after.get(name, ...),
            )
            for name in names
        ]
        return sorted(diffs, key=lambda diff: not diff.is_changed)

    @property
    def changed(self) -> list[ColumnDiff]:
        """The columns that differ: all of them in a creation and in a deletion."""
        return [diff for diff in self.columns if diff.is_changed]

    @property
    def unchanged(self) -> list[ColumnDiff]:
        """The columns that do not differ."""
        return [diff for diff in self.columns if not diff.is_changed]

    @property
    def in_line(self) -> list[ColumnDiff]:
        """The first of the changed columns, with short values."""
        before, after = self.before or {}, self.after or {}
        return [
            ColumnDiff(
                diff.name,
                shown(before.get(diff.name, ...), MAX_IN_LINE),
                shown(after.get(diff.name, ...), MAX_IN_LINE),
                True,
            )
            for diff in self.changed[:MAX_COLUMNS_IN_LINE]
        ]

    @property
    def not_in_line(self) -> int:
        """How many changed columns `in_line` leaves out."""
        return max(0, len(self.changed) - MAX_COLUMNS_IN_LINE)


def _in_order(model: str, names: set[str]) -> list[str]:
    """The names in the order of the model's capture, then those that it had earlier."""
    captures = declared().get(model, ())
    order = {name: place for place, name in enumerate(captures[0].columns)} if captures else {}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def shown(value: object, limit: int) -> Value:
    """A value of JSON as text; `...` is none. Of a long one the beginning."""
    if value is ...:
        return NOTHING
    if value is None:
        return Value(remark="null")
    if value == "":
        return Value(remark="empty")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= limit:
        return Value(text)
    return Value(f"{text[:limit]}…", f"{len(text):,} characters")


@dataclass(frozen=True, slots=True)
class Filters:
    """The changes to show; None does not restrict them."""

    model: str | None = None
    kind: str | None = None
    object_id: str | None = None
    actor: str | None = None
    origin: str | None = None
    trace: str | None = None

    @property
    def parameters(self) -> dict[str, str | None]:
        """The parameters of the statements."""
        return asdict(self)

    @property
    def has_any(self) -> bool:
        """Whether any change is left out."""
        return any(value is not None for value in self.parameters.values())


@dataclass(frozen=True, slots=True)
class Newest:
    """A page of the log.

    `older` is the number before which the next page begins; None at the log's end. `looked_at` is how many changes were
    looked at, and `since` the time of the oldest of them; None for all that there are.
    """

    changes: list[ChangeRow]
    older: int | None = None
    looked_at: int = 0
    since: datetime | None = None


def actor_named(text: str) -> str | None:
    """The actor that is meant by a username, or by a text of the log. None for a name that no user has."""
    if ":" in text:
        return text
    users = get_user_model()._default_manager.filter(**{get_user_model().USERNAME_FIELD: text})
    key = users.values_list("pk", flat=True).first()
    return None if key is None else f"{USER}{key}"


def newest_changes(filters: Filters, *, limit: int, before: int | None = None) -> Newest:
    """The newest changes that match, among the newest 10,000 before a number: of the log, or of one object."""
    window = SQL["window_of_log" if filters.object_id is None else "window_of_object"]
    parameters = {**filters.parameters, "before": NEWEST if before is None else before, "window": WINDOW}
    rows = read_rows(SQL["newest"].with_parts(window=window), **parameters, limit=limit + 1)
    changes = [ChangeRow.of_row(row) for row in rows]
    if len(changes) > limit:
        return Newest(changes[:limit], older=changes[limit - 1].seq)
    end = read_rows(SQL["window_end"].with_parts(window=window), **parameters)
    if not end:
        return Newest(changes)
    seq, since = end[0]
    return Newest(changes, older=seq, looked_at=WINDOW, since=since)
