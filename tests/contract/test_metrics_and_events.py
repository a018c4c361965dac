"""docs/metrics.md and docs/events.md say what the code says, each of them, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from backend.movies import metrics as movies
from lockstep.changes.capture import EVERYBODY, STAFF, Capture, Visibility, captures
from lockstep.delivery import counters
from lockstep.delivery.metrics import worker_exposition
from lockstep.rest.middleware import REGISTRY

DOCS = Path(settings.BASE_DIR) / "docs"
# Of each family its label, which a scrape shows only where there is a series.
WITHOUT_SERIES = {"lockstep_database_slot_retained_wal_bytes": ("slot",)}  # there is no slot here
OWN = [
    *(
        counters.ATTEMPTS,
        counters.DEAD_LETTERS,
        counters.SECONDS,
        counters.AGE,
        counters.UNSETTLED,
        counters.FANNED_OUT,
    ),
    movies.PROVIDER_ANSWERS,
]


def tables(page: str) -> list[list[str]]:
    """The tables of a page, each as its lines below the head."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [found.splitlines() for found in re.findall(r"^\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)]


def exported(exposition: bytes) -> dict[str, Metric]:
    """The families of ours that an exposition has."""
    families = text_string_to_metric_families(exposition.decode())
    is_ours = re.compile(r"lockstep_(?!\w+_created$)")
    return {family.name: family for family in families if is_ours.match(family.name)}


def rows(families: dict[str, Metric], names: set[str]) -> Iterator[str]:
    """The lines of a table with these families."""
    labels = WITHOUT_SERIES | {own._name: own._labelnames for own in [*OWN, *REGISTRY._collector_to_names]}
    for name, family in sorted(families.items()):
        if name in names:
            shown = name + "_total" if family.type == "counter" else name
            found = labels.get(name) or [label for sample in family.samples for label in sample.labels]
            label = ", ".join(f"`{one}`" for one in dict.fromkeys(found) if one != "le")
            yield f"| `{shown}` | {family.type} | {label} | {family.documentation} |"


@pytest.mark.django_db
def test_metrics_are_those_that_the_page_has(client: Client):
    settings.DEBUG, before = True, settings.DEBUG
    try:
        web = exported(client.get("/metrics/").content)
    finally:
        settings.DEBUG = before
    worker = exported(worker_exposition(0.0)[1])
    of_requests = {name.removesuffix("_total") for names in REGISTRY._collector_to_names.values() for name in names}
    of_requests &= web.keys()
    expected = [
        list(rows(web, web.keys() - of_requests)),
        list(rows(web, of_requests)),
        list(rows(worker, set(worker))),
    ]
    assert tables("metrics.md") == expected, "\n\n".join("\n".join(table) for table in expected)


def readers_of(capture: Capture) -> str:
    """Who receives its changes, as the page says it."""
    readers = capture.readers
    if isinstance(readers, Visibility):
        return f"every user while `{readers.column}` is `{readers.value}`; owner: `{readers.owner}`"
    return {EVERYBODY: "every user", STAFF: "staff"}.get(readers, f"owner: `{readers}`")


def test_events_are_those_of_the_captured_models():
    expected = [
        f"| `{capture.label}` | {readers_of(capture)} | "
        + ", ".join(f"*`{name}`*" if name in capture.staff_only else f"`{name}`" for name in capture.columns)
        + " |"
        for capture in sorted(captures(), key=lambda capture: capture.label)
    ]
    assert tables("events.md") == [expected], "\n".join(expected)
