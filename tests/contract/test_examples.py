"""The examples of the OpenAPI document work: each body is sent to its operation, and carried out."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import jsonschema
import pytest
from django.test import Client

from backend.accounts.models import User
from backend.accounts.sessions import open_pair
from backend.movies.models import Movie
from backend.shop.catalogue.serializers import ID
from backend.shop.models import Product
from tests.schema_fixtures import SchemaFixtures, description

FORM = "application/x-www-form-urlencoded"


def bodies() -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """The method, path, media type and body of each example."""
    document = description()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            for media_type, body in content.items():
                name = body["schema"]["$ref"].rpartition("/")[2]
                for example in document["components"]["schemas"][name]["examples"]:
                    yield method, path, media_type, example


@pytest.fixture
def world(fixtures: SchemaFixtures, settings: Any) -> SchemaFixtures:
    """What the examples name, beside one object of each kind: two products, a movie, the user of development."""
    settings.DEBUG = True  # the user of development may sign in
    ada = User.objects.get(username="ada")
    User.objects.filter(pk=ada.pk).update(username="boss", email="boss@example.com")  # ada is registered by an example
    Product.objects.create(id=ID, owner=ada, name="Red bicycle", price=Decimal("249.90"), stock=100)
    for number in (1001, 1002):
        if not Product.objects.filter(number=number).exists():
            Product.objects.create(number=number, owner=ada, name="RedBull", price=Decimal("2.20"), stock=100)
    Movie.objects.create(id=ID, remote_id=ID, title="The Quiet Harbour")
    User.objects.create_user("user", password="1234")
    return fixtures


@pytest.mark.parametrize(
    ("method", "path", "media_type", "example"),
    [pytest.param(*one, id=f"{one[0].upper()} {one[1]} {one[2]}") for one in bodies()],
)
def test_an_example_is_carried_out(
    world: SchemaFixtures, method: str, path: str, media_type: str, example: Mapping[str, Any]
):
    body = with_living_tokens(example, path)
    answer = Client().generic(
        method.upper(),
        world.target(path),
        urlencode(body) if media_type == FORM else json.dumps(body),
        content_type=media_type,
        headers={"Authorization": f"Bearer {world.token}"} if needs_token(method, path) else {},
    )
    assert 200 <= answer.status_code < 300, (answer.status_code, answer.content[:1000])
    responses = description()["paths"][path][method]["responses"]
    content = responses[str(answer.status_code)].get("content", {})
    if not content:
        assert answer.content == b""
        return
    schema = content[answer["Content-Type"]]["schema"]
    jsonschema.Draft202012Validator(
        {**schema, "components": description()["components"]},
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    ).validate(answer.json())


def test_there_is_an_example_for_each_request_body():
    with_body = [one for item in description()["paths"].values() for one in item.values() if "requestBody" in one]
    assert len({(method, path) for method, path, *_ in bodies()}) == len(with_body) > 40


def test_examples_of_problems_are_problems():
    components = description()["components"]
    validator = jsonschema.Draft202012Validator({"$ref": "#/components/schemas/Problem", "components": components})
    examples = [
        example["value"]
        for response in components["responses"].values()
        for content in response["content"].values()
        for example in content["examples"].values()
    ]
    assert len(examples) > 15
    for example in examples:
        validator.validate(example)


def needs_token(method: str, path: str) -> bool:
    return bool(description()["paths"][path][method]["security"])


def with_living_tokens(example: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The example with a token of an open session, which no document can have."""
    pair = open_pair(User.objects.get(username="user"))
    living = {"refresh": pair.refresh, "token": pair.access}
    return {name: living.get(name, value) for name, value in example.items()}
