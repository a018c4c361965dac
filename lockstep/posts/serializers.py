"""Shapes of posts and comments as the provider has them. Ids and parents are shown, never taken."""

from rest_framework import serializers

from lockstep.api.serializers import StrictSerializer

MAX_TITLE, MAX_BODY = 1_000, 100_000


class PostSerializer(StrictSerializer):
    """{id, userId, title, body}"""

    id = serializers.IntegerField(read_only=True)
    userId = serializers.IntegerField(read_only=True)
    title = serializers.CharField(max_length=MAX_TITLE)
    body = serializers.CharField(max_length=MAX_BODY, trim_whitespace=False)


class CommentSerializer(StrictSerializer):
    """{id, postId, name, email, body}"""

    id = serializers.IntegerField(read_only=True)
    postId = serializers.IntegerField(read_only=True)
    name = serializers.CharField(max_length=MAX_TITLE)
    email = serializers.EmailField(max_length=254)
    body = serializers.CharField(max_length=MAX_BODY, trim_whitespace=False)
