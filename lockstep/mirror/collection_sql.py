"""The statements of sql/collection.sql with the names of one collection filled in."""

from functools import cache
from pathlib import Path

from lockstep.changes.sql_file import load
from lockstep.changes.triggers import quote
from lockstep.mirror.collections import Collection, Mirror, Parent

TEMPLATES = load(Path(__file__).parent / "sql" / "collection.sql")

SQL_TYPES = {"text": "text", "integer": "bigint"}
DIGITS = "'^[0-9]{1,18}$'"


@cache
def statements(mirror: Mirror, collection: Collection) -> dict[str, str]:
    """Every statement of the collection by name, ready to execute."""
    names = _names(mirror, collection) | _parent_names(mirror, collection.parent)
    return {name: template.format_map(names) for name, template in TEMPLATES.items()}


def _names(mirror: Mirror, collection: Collection) -> dict[str, str]:
    fields = collection.fields
    columns = [quote(field.column) for field in fields]
    values = [f"e.{quote(field.remote)}" for field in fields]
    typed = ["id bigint", *(f"{quote(field.remote)} {SQL_TYPES[field.type]}" for field in fields)]
    theirs, ours = list(values), [f"t.{column}" for column in columns]
    if parent := collection.parent:
        columns.append(quote(parent.column))
        values.append("e.parent_id")
        typed.append(f"{quote(parent.remote)} bigint")
        theirs.append(f"e.{quote(parent.remote)}")
        ours.append("parent.remote_id")
    return {
        "key": mirror.key(collection.name),
        "table": quote(collection.model._meta.db_table),
        "numbers": collection.numbers,
        "columns": ", ".join(columns),
        "values": ", ".join(values),
        "typed": ", ".join(typed),
        "fingerprint_of_e": _fingerprint(theirs),
        "fingerprint_of_t": _fingerprint(ours),
        "theirs": _their_document(collection),
        "ours": _our_document(collection),
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
            SELECT parent.id FROM lockstep_mirror_remoteobject link JOIN {table} parent ON parent.id = link.object_id
            WHERE link.collection = '{key}' AND link.remote_id = e.{quote(parent.remote)}::text
              AND parent.deleted IS NULL LIMIT 1)""",
        "has_parent": "parent_id IS NOT NULL",
        "our_parent_join": f"""LEFT JOIN lockstep_mirror_remoteobject parent
            ON parent.object_id = t.{quote(parent.column)} AND parent.collection = '{key}'""",
    }


def _fingerprint(values: list[str]) -> str:
    """The SQL of what `remote.fingerprint` computes."""
    return f"md5(concat_ws(E'\\x1f', {', '.join(values)}))::uuid"


def _their_document(collection: Collection) -> str:
    pairs = [f"'{name}', e.{quote(name)}" for name in collection.remote_names]
    return f"jsonb_build_object({', '.join(pairs)})"


def _our_document(collection: Collection) -> str:
    pairs = [f"'{field.remote}', t.{quote(field.column)}" for field in collection.fields]
    if parent := collection.parent:
        pairs.append(f"'{parent.remote}', " + _number_or("parent.remote_id", "to_jsonb(parent.remote_id)"))
    return f"jsonb_build_object({', '.join(pairs)})"


def _number_or(text: str, otherwise: str) -> str:
    """A number where the text is one: some providers give their numbers as strings."""
    return f"CASE WHEN {text} ~ {DIGITS} THEN to_jsonb(({text})::bigint) ELSE {otherwise} END"
