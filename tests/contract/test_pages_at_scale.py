"""Pages cost the same where there is much: no more statements, and none without an index for each large table."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from bench.crowd import Crowd
from bench.pages import Clients, Page, all_pages
from lockstep.console.views.overview import shown

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

FEW = Crowd(changes=1_000, letters=100, endpoints=60, objects=100, owners=10)
TEN_TIMES = Crowd(changes=10_000, letters=1_000, endpoints=600, objects=1_000, owners=100)
MORE = 1  # a page that is not full asks where its reading ended
LARGE = {
    *("lockstep_change", "lockstep_lane", "lockstep_delivery", "lockstep_deadletter", "lockstep_attempt"),
    *("lockstep_mirror_remoteobject", "lockstep_mirror_sentwrite", "lockstep_console_difference"),
    *("lockstep_console_operation", "lockstep_console_sample", "lockstep_webhooks_endpoint"),
}


def test_ten_times_as_much_needs_no_more_statements_and_no_scan():
    with filled(FEW):
        few = {name: len(statements) for name, statements in statements_of_pages()}
    with filled(TEN_TIMES):
        many = list(statements_of_pages())
        outside = [each for each in many if "/admin/" not in each[0]]  # lists of the admin stop at a limit
        scans = {name: found for name, statements in outside if (found := scanned(statements) & LARGE)}
    assert {name: len(statements) for name, statements in many if len(statements) > few[name] + MORE} == {}
    assert scans == {}


@contextmanager
def filled(crowd: Crowd) -> Iterator[None]:
    """A database with a crowd, for as long as the block lasts."""
    with transaction.atomic():
        crowd.fill(connection.connection)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        yield
        transaction.set_rollback(True)


def statements_of_pages() -> Iterator[tuple[str, list[str]]]:
    """The statements of each page by its place in the list, which is the same for any crowd."""
    clients = Clients()
    for number, page in enumerate(all_pages()):
        page.open(clients)  # what is read once in a process, such as types of content, is read now
        shown.forget()
        with CaptureQueriesContext(connection) as captured:
            page.open(clients)
        yield f"{number} {kind_of(page)}", [query["sql"] for query in captured.captured_queries]


def kind_of(page: Page) -> str:
    """The page without what differs from one crowd to another."""
    return "/".join(part for part in page.address.split("/") if "-" not in part and not part.isdecimal())


def scanned(statements: list[str]) -> set[str]:
    """The tables that have no index for one of these statements; partitions count as the table."""
    found = set()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for statement in statements:
            if statement.startswith(("SELECT", "WITH", "(")):
                cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
                ((plan,),) = cursor.fetchall()
                found |= set(_scanned((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))
        cursor.execute("SET LOCAL enable_seqscan = on")
    return found


def _scanned(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan":
        name = node["Relation Name"]
        yield "lockstep_change" if name.startswith("lockstep_change") else name
    for child in node.get("Plans", ()):
        yield from _scanned(child)
