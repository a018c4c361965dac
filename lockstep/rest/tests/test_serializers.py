"""Representations: the declared fields, in their order, as values of JSON."""

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

from rest_framework import serializers

from lockstep.rest.responses import dumps
from lockstep.rest.serializers import ApiSerializer, StrictSerializer


class PartSerializer(ApiSerializer):
    name = serializers.CharField()
    price = serializers.DecimalField(max_digits=5, decimal_places=2)


class ThingSerializer(StrictSerializer):
    id = serializers.UUIDField(read_only=True)
    state = serializers.CharField(read_only=True)
    owner = serializers.IntegerField(source="owner_id")
    city = serializers.CharField(source="address.city", allow_null=True)
    secret = serializers.CharField(write_only=True)
    parts = PartSerializer(many=True)
    best = PartSerializer()
    created = serializers.DateTimeField()


class EditedThingSerializer(ThingSerializer):
    state = serializers.CharField()


PART = SimpleNamespace(name="wheel", price=Decimal("2.50"))
THING = SimpleNamespace(
    id=UUID(int=1),
    state="new",
    owner_id=7,
    address=SimpleNamespace(city=None),
    parts=[PART, {"name": "saddle", "price": "1.00", "other": 1}],
    best=PART,
    created=datetime(2026, 1, 31, 12, tzinfo=UTC),
)
JSON = (
    b'{"id":"00000000-0000-0000-0000-000000000001","state":"new","owner":7,"city":null,'
    b'"parts":[{"name":"wheel","price":"2.50"},{"name":"saddle","price":"1.00"}],'
    b'"best":{"name":"wheel","price":"2.50"},"created":"2026-01-31T12:00:00Z"}'
)


def test_representation_has_the_declared_fields_in_their_order():
    assert dumps(ThingSerializer.represent(THING)) == JSON
    assert dumps(ThingSerializer(THING).data) == JSON


def test_field_that_a_subclass_declares_again_keeps_its_place():
    assert dumps(EditedThingSerializer.represent(THING)) == JSON
