"""Serializers of posts and comments, in the provider's format.

Ids and parents are read-only. The frozen routes ignore them in requests. The fields are in the provider's order, as in
the JSON of sql/reads.sql.
"""

from rest_framework import serializers

from backend.posts.models import MAX_BODY, MAX_EMAIL, MAX_TITLE
from lockstep.rest import fields
from lockstep.rest.serializers import StrictSerializer


class PostSerializer(StrictSerializer):
    """A post, in the format of JSONPlaceholder."""

    ignores_read_only = True
    userId = serializers.IntegerField(
        source="user_id", read_only=True, help_text="The user at the provider; 99999942 for posts created here."
    )
    id = serializers.IntegerField(source="number", read_only=True)
    title = fields.Text(max_length=MAX_TITLE)
    body = fields.Text(max_length=MAX_BODY)
    example = {"id": 101, "userId": 99999942, "title": "Hello", "body": "In step."}


class CommentSerializer(StrictSerializer):
    """A comment, in the format of JSONPlaceholder."""

    ignores_read_only = True
    postId = serializers.IntegerField(source="post.number", read_only=True)
    id = serializers.IntegerField(source="number", read_only=True)
    name = fields.Text(max_length=MAX_TITLE)
    email = fields.Email(max_length=MAX_EMAIL)
    body = fields.Text(max_length=MAX_BODY)
    example = {"id": 501, "postId": 101, "name": "Ada", "email": "ada@example.com", "body": "So it is."}
