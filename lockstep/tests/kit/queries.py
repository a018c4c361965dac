"""The queries of a page, and how PostgreSQL would execute them."""

import json
from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from kit.operators import Operator
from project.blog.models import Article

LARGE = {"lockstep_change", "lockstep_lane", "lockstep_delivery", "lockstep_deadletter", "lockstep_attempt"}
MANY = """
    INSERT INTO lockstep_subscription (name, kind, follows)
    SELECT 'webhook:' || lpad(n::text, 6, '0'), 'event', '{blog.article.*}' FROM generate_series(1, 1000) AS n;
    WITH lane AS (
        INSERT INTO lockstep_lane (subscription_id, model, object_id, failure, next_at)
        SELECT name, 'blog.article', n::text, CASE WHEN n % 3 = 0 THEN 'failed' END, now() + interval '1 min'
        FROM lockstep_subscription, generate_series(1, 20) AS n RETURNING id
    )
    INSERT INTO lockstep_delivery (lane_id, seq, at) SELECT id, 1, now() FROM lane;
    INSERT INTO lockstep_deadletter
        (subscription_id, model, object_id, seq, at, message_id, attempts, cause, outcome, settled)
    SELECT s.name, 'blog.article', n::text, c.seq, c.at, gen_random_uuid(), 8, 'Rejected: 422',
           CASE WHEN n % 3 = 0 THEN 'replayed' END, now()
    FROM (VALUES ('blog.notify', 10000), ('blog.titles', 5000)) AS s (name, letters)
    CROSS JOIN LATERAL generate_series(1, s.letters) AS n
    CROSS JOIN (SELECT seq, at FROM lockstep_change WHERE model = 'blog.article' LIMIT 1) AS c;
    ANALYZE lockstep_subscription, lockstep_lane, lockstep_delivery, lockstep_change, lockstep_deadletter
"""


def make_many_rows() -> None:
    """Changes, members of a family, lanes and dead letters: so many that PostgreSQL uses indexes where it can."""
    Article.objects.bulk_create(Article(title=f"{n}") for n in range(5_000))
    with connection.cursor() as cursor:
        cursor.execute(MANY)


def queries_of(operator: Operator, path: str, query: dict[str, str]) -> list[str]:
    """The queries of one page."""
    with CaptureQueriesContext(connection) as captured:
        operator.see(path, **query)
    return [each["sql"] for each in captured.captured_queries]


def scanned_tables(queries: list[str]) -> set[str]:
    """The tables that these queries read row by row; partitions count as the table."""
    return {table for plan in _plans(queries) for table in _scanned(plan)}


def used_indexes(queries: list[str]) -> set[str]:
    """The indexes by which these queries find rows."""
    return {index for plan in _plans(queries) for index in _used(plan)}


def _plans(queries: list[str]) -> Iterator[dict[str, Any]]:
    with connection.cursor() as cursor:
        for sql in queries:
            if sql.startswith(("SELECT", "WITH")) and "lockstep_" in sql:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
                [(plan,)] = cursor.fetchall()
                yield json.loads(plan)[0]["Plan"] if isinstance(plan, str) else plan[0]["Plan"]


def _used(node: dict[str, Any]) -> Iterator[str]:
    if "Index Name" in node:
        yield node["Index Name"]
    for child in node.get("Plans", ()):
        yield from _used(child)


def _scanned(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan" and node["Plan Rows"] > 1:  # an empty partition is read as it is
        name = node["Relation Name"]
        yield "lockstep_change" if name.startswith("lockstep_change") else name
    for child in node.get("Plans", ()):
        yield from _scanned(child)
