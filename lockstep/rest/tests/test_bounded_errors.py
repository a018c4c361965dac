"""An error is never larger than 64 KB, names at most twenty mistakes, and lengths come before contents."""

import io

import orjson
import pytest
from django.test import Client
from rest_framework import serializers

from backend.accounts.models import User
from lockstep.rest.errors import MAX_ERRORS, document
from lockstep.rest.json import JSONParser
from lockstep.rest.problems import INVALID
from lockstep.rest.serializers import StrictSerializer
from lockstep.rest.tests.test_bad_input import CREATE, GOOD, assert_problem, send
from tests.support import Cast

MARKS = "\u0301\u0316"


@pytest.mark.django_db
def test_of_many_unknown_fields_twenty_are_named(cast: Cast):
    answer = cast.owner.post(CREATE, GOOD | {f"{number:05}": 1 for number in range(9_000)})
    problem = assert_problem(answer, 400)
    assert [error["field"] for error in problem["errors"]] == [f"{number:05}" for number in range(MAX_ERRORS)]
    assert "more than 20 mistakes" in problem["detail"]
    assert len(answer.content) < 64 * 1024


@pytest.mark.django_db
def test_an_unknown_field_does_not_hide_other_errors_of_a_body(cast: Cast):
    problem = assert_problem(cast.owner.post(CREATE, {"title": "", "colour": "red"}), 400)
    assert {error["field"] for error in problem["errors"]} == {"title", "body", "colour"}


@pytest.mark.django_db
def test_a_list_that_is_too_long_is_refused_before_its_elements_are_looked_at(cast: Cast):
    problem = assert_problem(cast.owner.post("/api/v1/orders/", {"lines": [{"x": 1}] * 101}), 400)
    [error] = problem["errors"]
    assert (error["field"], error["detail"]) == ("lines", "Ensure this field has no more than 100 elements.")


@pytest.mark.django_db
def test_an_error_quotes_values_truncated(cast: Cast):
    body = {"rating_type": "\x01" * 100_000, "movie_id": "x" * 100_000}
    answer = cast.owner.post("/api/v1/movies/ratings/", body)
    assert_problem(answer, 400)
    assert len(answer.content) < 2_000


def test_the_largest_error_is_below_64_kilobytes():
    mistakes = [{"field": "\x01" * 10_000, "detail": "\x02" * 100_000}] * 1_000
    assert len(orjson.dumps(document(INVALID, "\x03" * 100_000, mistakes))) < 64 * 1024


def test_an_error_has_at_most_twenty_entries():
    assert len(document(INVALID, "", [{"field": "a", "detail": "b"}] * 50)["errors"]) == MAX_ERRORS


def test_errors_of_a_usual_length_are_whole():
    mistakes = [{"field": "events", "detail": "x" * 1_500}, {"field": "url", "detail": "y"}]
    assert document(INVALID, "z" * 2_000, mistakes)["errors"] == mistakes


class Counting(serializers.CharField):
    """Counts how often it is looked into."""

    looked = 0

    def to_internal_value(self, data: object) -> str:
        Counting.looked += 1
        return super().to_internal_value(data)


class Shape(StrictSerializer):
    """A text and a list that are limited, and a choice, which is short by itself."""

    text = Counting(max_length=10, required=False)
    listed = serializers.ListField(child=Counting(), max_length=2, required=False)
    chosen = serializers.ChoiceField(["a"], required=False)


@pytest.mark.parametrize(
    "values",
    [{"text": "x" * 11}, {"listed": ["a"] * 3}, {"chosen": "x" * 1_001}],
    ids=lambda values: next(iter(values)),
)
def test_values_beyond_their_limit_are_not_parsed(values: dict, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Counting, "looked", 0)
    shape = Shape(data=values)
    assert not shape.is_valid()
    assert "no more than" in str(shape.errors)
    assert Counting.looked == 0


@pytest.mark.parametrize("values", [{"text": "  " + "x" * 10 + "  "}, {"listed": ["a"] * 2}, {"chosen": "a"}])
def test_values_at_their_limit_are_accepted(values: dict):
    assert Shape(data=values).is_valid()


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"title": "a", "title": "b"}', "two members 'title'"),
        (b'{"lines": [{"quantity": 1, "quantity": 2}]}', "two members 'quantity'"),
        (b'{"a": 1, "\\u0061": 2}', "two members 'a'"),
        (b"[" + b"1," * 10_001 + b"1]", "more than 10,000 values"),
        (b'{"a": {' + b",".join(b'"%d": 1' % number for number in range(10_001)) + b"}}", "more than 10,000 values"),
        (b"[" + b"[]," * 300_000 + b"[]]", "more than 10,000 values"),
        (b"1e400", "not valid JSON"),
        (b"9" * 4_000, "not valid JSON"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "more than 32 lists and objects deep"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else None,
)
@pytest.mark.django_db
def test_json_that_is_valid_in_some_way_only_is_refused(cast: Cast, body: bytes, detail: str):
    assert detail in assert_problem(send(cast, body), 400)["detail"]


@pytest.mark.parametrize(
    "value",
    [
        {"title": "a: b", "body": '{"title": "a", "title": "b"}'},
        {"a": {"b": 1}, "c": {"b": "x:y"}},
        [{"a": 1}, {"a": 1}],
    ],
)
def test_colons_in_texts_are_no_members(value: object):
    assert JSONParser().parse(io.BytesIO(orjson.dumps(value))) == value


def test_brackets_in_texts_are_no_lists():
    text = '["{\\' * 20_000
    assert JSONParser().parse(io.BytesIO(orjson.dumps({"body": text}))) == {"body": text}


def test_a_name_that_is_too_long_is_not_normalised():
    """It would take hours: marks are put in order by the square of their number."""
    long = "a" + MARKS * 1_000_000
    assert User.normalize_username(long) == long
    assert User.normalize_username("\uff41da") == "ada"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/auth/", "/api/token/", "/api/v1/auth/token/", "/api/v1/users/register/", "/api/register/"]
)
def test_a_name_of_a_megabyte_is_refused_by_every_route_that_takes_one(path: str):
    field = "name" if path in ("/api/token/", "/api/register/") else "username"
    body = {field: MARKS * 200_000, "password": "a long one, please"}
    assert_problem(Client().post(path, orjson.dumps(body), content_type="application/json"), 400)
