"""The statements of sql/collection.sql with the names of one collection filled in."""

from functools import cache

from lockstep import sql
from lockstep.mirror.collections import Collection, Mirror, Parent
from lockstep.sql import Statement, Statements, identifier, joined, literal

SQL = sql.statements(__file__, "collection")
PARTS = sql.statements(__file__, "collection_parts")

SQL_TYPES = {"text": Statement("text"), "integer": Statement("bigint")}


@cache
def statements(mirror: Mirror, collection: Collection) -> Statements:
    """Every statement of the collection by name, ready to execute."""
    return SQL.with_parts(**_names(mirror, collection), **_parent_names(mirror, collection.parent))


def _names(mirror: Mirror, collection: Collection) -> dict[str, Statement]:
    fields, parent = collection.fields, collection.parent
    columns = [identifier(field.column) for field in fields]
    remote = [(identifier(field.remote), SQL_TYPES[field.type]) for field in fields]
    values = theirs = [identifier("e", field.remote) for field in fields]
    ours = [identifier("t", field.column) for field in fields]
    if parent:
        columns = [*columns, identifier(parent.column)]
        remote = [*remote, (identifier(parent.remote), SQL_TYPES["integer"])]
        values = [*values, Statement("e.parent_id")]
        theirs = [*theirs, identifier("e", parent.remote)]
        ours = [*ours, Statement("parent.remote_id")]
    typed = [Statement("{name} {type}").with_parts(name=name, type=of) for name, of in remote]
    return {
        "key": literal(mirror.key(collection.name)),
        "table": identifier(collection.model._meta.db_table),
        "numbers": Statement(collection.numbers),
        "numbers_name": literal(collection.numbers),
        "columns": joined(columns),
        "values": joined(values),
        "typed": joined([Statement("id bigint"), *typed]),
        "fingerprint_of_e": PARTS["fingerprint"].with_parts(values=joined(theirs)),
        "fingerprint_of_t": PARTS["fingerprint"].with_parts(values=joined(ours)),
        "theirs": _document([(name, identifier("e", name)) for name in collection.remote_names]),
        "ours": _our_document(collection),
        "listing": identifier(f"listing_{collection.name}"),
        "plan": identifier(f"plan_{collection.name}"),
    }


def _parent_names(mirror: Mirror, parent: Parent | None) -> dict[str, Statement]:
    if parent is None:
        return {
            "parent_id": Statement("NULL::uuid"),
            "has_parent": Statement("true"),
            "our_parent_join": Statement(""),
        }
    key = literal(mirror.key(parent.collection))
    table = next(identifier(c.model._meta.db_table) for c in mirror.collections if c.name == parent.collection)
    return {
        "parent_id": PARTS["parent_id"].with_parts(table=table, key=key, remote=identifier("e", parent.remote)),
        "has_parent": Statement("parent_id IS NOT NULL"),
        "our_parent_join": PARTS["our_parent_join"].with_parts(key=key, column=identifier("t", parent.column)),
    }


def _our_document(collection: Collection) -> Statement:
    pairs = [(field.remote, identifier("t", field.column)) for field in collection.fields]
    if parent := collection.parent:
        pairs.append((parent.remote, PARTS["parent_number"]))
    return _document(pairs)


def _document(pairs: list[tuple[str, Statement]]) -> Statement:
    pair = Statement("{name}, {value}")
    return PARTS["document"].with_parts(
        pairs=joined(pair.with_parts(name=literal(name), value=value) for name, value in pairs)
    )
