"""Serializers of movies and ratings."""

from collections.abc import Mapping

from rest_framework import serializers

from backend.movies.models import Rating
from lockstep.rest import fields
from lockstep.rest.serializers import ApiSerializer, StrictSerializer

MOVIE = {
    "id": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b",
    "title": "The Quiet Harbour",
    "description": "A drama in a small town by the sea.",
    "image_url": "https://images.example/1.jpg",
    "rating": 7.5,
    "upvotes": 12,
    "downvotes": 3,
    "my_rating": "UPVOTE",
}


class MovieSerializer(ApiSerializer):
    """A movie of the provider, with the ratings of our users."""

    # It represents movies of reads.py, which are annotated with votes.
    id = serializers.UUIDField()
    title = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    image_url = serializers.URLField(allow_null=True)
    rating = serializers.FloatField(allow_null=True, help_text="The provider's rating.")
    upvotes = serializers.IntegerField()
    downvotes = serializers.IntegerField()
    my_rating = serializers.ChoiceField(
        Rating.Type.choices, allow_null=True, help_text="Your rating; null if you have not rated it."
    )
    same_title = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        help_text="With `group=title`: the ids of the other movies of this title.",
    )
    optional = ("same_title",)
    example: Mapping[str, object] = MOVIE


class MoviePageSerializer(serializers.Serializer[object]):
    """A page of movies, and whether the catalogue is fresh."""

    count = serializers.IntegerField(help_text="The number of all rows.")
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    stale = serializers.BooleanField(help_text="Whether the catalogue is out of date; `Age` has its age.")
    results = MovieSerializer(many=True)


class NewRatingSerializer(StrictSerializer):
    """A rating of a movie."""

    id = serializers.UUIDField(read_only=True)
    movie_id: serializers.UUIDField = fields.Uuid()
    rating_type = serializers.ChoiceField(Rating.Type.choices)
    created = serializers.DateTimeField(read_only=True)
    updated = serializers.DateTimeField(read_only=True)
    example: Mapping[str, object] = {
        "id": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2d",
        "movie_id": MOVIE["id"],
        "rating_type": "UPVOTE",
        "created": "2026-01-31T12:00:00Z",
        "updated": "2026-01-31T12:00:00Z",
    }


class RatingSerializer(NewRatingSerializer):
    """A rating; its movie cannot be changed."""

    movie_id = serializers.UUIDField(read_only=True)
