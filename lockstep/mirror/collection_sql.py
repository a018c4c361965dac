"""The statements of sql/collection.sql with the names of one collection filled in."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from lockstep.changes.capture import quote
from lockstep.changes.sql_file import load
from lockstep.mirror.collections import Collection, Field, Mirror, Parent

TEMPLATES = load(Path(__file__).parent / "sql" / "collection.sql")

DIGITS = "'^[0-9]{1,18}$'"
USABLE_ID = (
    "jsonb_typeof(e) = 'object' AND jsonb_typeof(e -> 'id') IN ('number', 'string')"
    f" AND e ->> 'id' ~ {DIGITS}"
)


@cache
def statements(mirror: Mirror, collection: Collection) -> dict[str, str]:
    """Every statement of the collection by name, ready to execute."""
    names = _names(mirror, collection) | _parent_names(mirror, collection.parent)
    return {name: template.format_map(names) for name, template in TEMPLATES.items()}


def _names(mirror: Mirror, collection: Collection) -> dict[str, str]:
    columns = [quote(field.column) for field in collection.fields]
    values = [_value(field) for field in collection.fields]
    checks = [USABLE_ID, *(_check(field.remote, field.type) for field in collection.fields)]
    if parent := collection.parent:
        columns.append(quote(parent.column))
        values.append("parent_id")
        checks.append(_check(parent.remote, "integer"))
    return {
        "key": mirror.key(collection.name),
        "table": quote(collection.model._meta.db_table),
        "numbers": collection.numbers,
        "columns": ", ".join(columns),
        "values": ", ".join(values),
        "valid": " AND ".join(checks),
        "usable_id": USABLE_ID,
        "remote": _document(collection, _remote_value, "e"),
        "ours": _document(collection, _our_value, "parent.remote_id"),
        "listing": quote(f"listing_{collection.name}"),
        "plan": quote(f"plan_{collection.name}"),
    }


def _parent_names(mirror: Mirror, parent: Parent | None) -> dict[str, str]:
    if parent is None:
        return {"parent_id": "NULL::uuid", "has_parent": "true", "our_parent_join": ""}
    key = mirror.key(parent.collection)
    table = next(quote(c.model._meta.db_table) for c in mirror.collections if c.name == parent.collection)
    return {
        "parent_id": f"""(
            SELECT parent.id FROM mirror_remoteobject link JOIN {table} parent ON parent.id = link.object_id
            WHERE link.collection = '{key}' AND link.remote_id = element.e ->> '{parent.remote}'
              AND parent.deleted IS NULL LIMIT 1)""",
        "has_parent": "parent_id IS NOT NULL",
        "our_parent_join": f"""LEFT JOIN mirror_remoteobject parent
            ON parent.object_id = t.{quote(parent.column)} AND parent.collection = '{key}'""",
    }


def _value(field: Field) -> str:
    value = f"e ->> '{field.remote}'"
    return f"({value})::bigint" if field.type == "integer" else value


def _check(remote: str, kind: str) -> str:
    if kind == "integer":
        return f"jsonb_typeof(e -> '{remote}') IN ('number', 'string') AND e ->> '{remote}' ~ {DIGITS}"
    return f"jsonb_typeof(e -> '{remote}') = 'string'"


def _document(collection: Collection, value: Callable[[str, str, str], str], source: str) -> str:
    """The jsonb of all that we mirror; `value` gives each one's SQL from its remote name, column and type."""
    pairs = [f"'{f.remote}', {value(f.remote, f.column, f.type)}" for f in collection.fields]
    if parent := collection.parent:
        number = f"e ->> '{parent.remote}'" if source == "e" else source
        otherwise = f"e -> '{parent.remote}'" if source == "e" else f"to_jsonb({source})"
        pairs.append(f"'{parent.remote}', {_number_or(number, otherwise)}")
    return f"jsonb_build_object({', '.join(pairs)})"


def _remote_value(remote: str, column: str, kind: str) -> str:
    return _number_or(f"e ->> '{remote}'", f"e -> '{remote}'") if kind == "integer" else f"e -> '{remote}'"


def _our_value(remote: str, column: str, kind: str) -> str:
    return f"t.{quote(column)}"


def _number_or(text: str, otherwise: str) -> str:
    """A number where the text is one: some providers give their numbers as strings."""
    return f"CASE WHEN {text} ~ {DIGITS} THEN to_jsonb(({text})::bigint) ELSE {otherwise} END"
