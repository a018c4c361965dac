"""Serializers of defects."""

from rest_framework import serializers

from backend.defects.models import MAX_COMMENT
from lockstep.rest import fields
from lockstep.rest.serializers import StrictSerializer


class DefectSerializer(StrictSerializer):
    """A defect. Its user is the user of the request that created it."""

    ignores_read_only = True  # clients of the predecessor send the user
    id = serializers.UUIDField(read_only=True)
    number = serializers.IntegerField(read_only=True)
    user = serializers.IntegerField(
        source="user_id", read_only=True, help_text="The number of the user who reported it."
    )
    comment = fields.Text(max_length=MAX_COMMENT)
    created = serializers.DateTimeField(read_only=True)
    updated = serializers.DateTimeField(read_only=True)
    example = {
        "id": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b",
        "number": 17,
        "user": 1,
        "comment": "The brake of coach 3 does not release.",
        "created": "2026-01-31T12:00:00Z",
        "updated": "2026-01-31T12:00:00Z",
    }
