"""Shapes of posts and comments as the provider has them. Ids and parents are shown, never taken."""

from rest_framework import serializers

from lockstep.api.serializers import StrictSerializer
from lockstep.posts.models import MAX_BODY, MAX_EMAIL, MAX_TITLE


class PostSerializer(StrictSerializer):
    """A post, as the provider shows it."""

    id = serializers.IntegerField(read_only=True)
    userId = serializers.IntegerField(read_only=True, help_text="The provider's user; 99999942 is ours.")
    title = serializers.CharField(max_length=MAX_TITLE)
    body = serializers.CharField(max_length=MAX_BODY, trim_whitespace=False)
    example = {"id": 101, "userId": 99999942, "title": "Hello", "body": "In step."}


class CommentSerializer(StrictSerializer):
    """A comment, as the provider shows it."""

    id = serializers.IntegerField(read_only=True)
    postId = serializers.IntegerField(read_only=True)
    name = serializers.CharField(max_length=MAX_TITLE)
    email = serializers.EmailField(max_length=MAX_EMAIL)
    body = serializers.CharField(max_length=MAX_BODY, trim_whitespace=False)
    example = {"id": 501, "postId": 101, "name": "Ada", "email": "ada@example.com", "body": "So it is."}
