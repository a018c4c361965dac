"""A filter that can match nothing by its own form is refused and named; any other is answered, by an empty list."""

from typing import Any

import pytest
from django.db import models
from django.urls import get_resolver

from lockstep.changes.capture import captured_models
from lockstep.delivery.models import Subscription
from lockstep.mirror.tests.support import run_command
from lockstep.rest.requests import parameters_of
from tests.security.test_authorisation_matrix import routes
from tests.support import Cast

pytestmark = pytest.mark.django_db

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-31T00:00:00Z"
CHANGES, DEFECTS, PRODUCTS = "/api/v1/changes/", "/api/v1/defects/", "/api/v1/products/"
ID = "d52b33af-4c3a-42ae-921e-b51614b80e35"
RANGES = {"until": "since", "before": "after", "max_price": "min_price"}


def all_views() -> list[Any]:
    found = {getattr(pattern.callback, "cls", None) for _, pattern in routes(get_resolver())}
    return sorted((view for view in found if hasattr(view, "get")), key=lambda view: view.__name__)


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        (CHANGES, "model=zz", "model"),
        (CHANGES, "model=posts.pots", "model"),
        (CHANGES, "actor=zz", "actor"),
        (CHANGES, "actor=user:7", "actor"),
        (CHANGES, f"actor={ID}", "actor"),
        (CHANGES, "object_id=7", "object_id"),
        (CHANGES, "object_id=zz", "object_id"),
        *((path, f"since={LATE}&until={EARLY}", "until") for path in (CHANGES, DEFECTS, "/api/defects/")),
        *((path, f"until={EARLY}&since={EARLY}", "until") for path in (CHANGES, DEFECTS, "/api/defects/")),
        (PRODUCTS, "min_price=2&max_price=1.99", "max_price"),
    ],
)
def test_filter_that_can_match_nothing_is_refused_by_its_name(cast: Cast, path: str, query: str, field: str):
    answer = cast.staff.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (CHANGES, "model=webhooks.test"),
        (CHANGES, f"actor=user:{ID}"),
        (CHANGES, f"object_id={ID.upper()}"),
        (CHANGES, f"since={EARLY}&until={LATE}&model=posts.post"),
        (DEFECTS, f"since={EARLY}&until={LATE}"),
        (PRODUCTS, "min_price=2&max_price=2.00"),
        (PRODUCTS, "min_price=2&max_price=3"),
    ],
)
def test_filter_that_happens_to_match_nothing_is_an_empty_list(cast: Cast, path: str, query: str):
    answer = cast.staff.get(f"{path}?{query}")
    assert (answer.status_code, answer.json()["results"]) == (200, [])


def test_every_range_says_where_it_begins():
    declared = {view.__name__: parameters_of(view, "get") for view in all_views()}
    ranges = {
        (view, end): begin
        for view, parameters in declared.items()
        for end, begin in RANGES.items()
        if {end, begin} <= parameters.keys()
    }
    assert ranges
    assert {(view, end): declared[view][end].least for view, end in ranges} == ranges


def test_ids_in_the_log_are_uuids():
    assert all(isinstance(model._meta.pk, models.UUIDField) for model in captured_models())


@pytest.mark.parametrize("until", [EARLY, LATE])
def test_redelivery_of_an_invalid_period_is_refused(cast: Cast, until: str):
    hook = {"url": "https://example.com/hook", "events": ["posts.post.*"]}
    key = cast.owner.post("/api/v1/webhooks/", hook).json()["id"]
    answer = cast.owner.post(f"/api/v1/webhooks/{key}/redeliver/", {"since": LATE, "until": until})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["until"]


def test_redelivery_of_a_period_before_the_endpoint_is_refused(cast: Cast):
    hook = {"url": "https://example.com/hook", "events": ["posts.post.*"]}
    key = cast.owner.post("/api/v1/webhooks/", hook).json()["id"]
    answer = cast.owner.post(f"/api/v1/webhooks/{key}/redeliver/", {"since": EARLY, "until": LATE})
    assert answer.status_code == 400
    assert "Must be later than the creation of the endpoint" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("command", ["dead-letters", "replay", "discard", "replay-changes"])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--model", "nosuch"), "there is no model 'nosuch'. There are: accounts.follow, "),
        (("--object", "7"), "'7' is no primary key of a captured model."),
        (("--since", "10m", "--until", "20m"), "--until must be later than --since: nothing lies between them."),
    ],
)
def test_command_refuses_a_choice_that_can_match_nothing(command: str, words: tuple[str, ...], sentence: str):
    Subscription.objects.create(name="test", kind="event", follows=["posts.post.*"])
    needed = {"discard": ("--reason", "r"), "replay-changes": ("--since", "1h")}.get(command, ())
    code, said = run_command("lockstep", command, "test", *needed, *words)
    assert code == 1
    assert sentence in said
