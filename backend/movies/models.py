"""Movies from a provider's catalogue, and the ratings of users."""

import sys
from typing import Any, Self
from uuid import UUID

import pgtrigger
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models.functions import Now

from backend.entities.dependents import deletes, deletes_of_user
from backend.entities.folding import FoldedField, fold_trigger
from backend.entities.models import BUMP_VERSION, AliveParent, Entity, EntityQuerySet
from backend.entities.transition_tables import BOTH_ROWS, NEW_ROWS, OLD_ROWS
from lockstep import EVERYBODY, capture
from lockstep.rest.users import AnyUser
from lockstep.sql import statements

TRIGGERS = statements(__file__, "triggers")
MAX_WORDS = 8  # of a search
FINITE = (-sys.float_info.max, sys.float_info.max)  # PostgreSQL sorts NaN above every number


class MovieQuerySet(EntityQuerySet["Movie"]):
    """Filters of movies."""

    def matching(self, query: str) -> Self:
        """Movies with every word in their title or description, in any equal spelling."""
        rows = self
        for word in query.split()[:MAX_WORDS]:
            rows = rows.filter(folded__icontains=word)
        return rows

    def with_id(self, key: UUID | str) -> Self:
        """The movie with this id, which is ours or the provider's."""
        return self.filter(models.Q(pk=key) | models.Q(remote_id=key))

    def counted_for(self, user: AnyUser) -> Self:
        """Annotates all votes, and this user's own."""
        own = Rating.objects.alive().filter(user=user, movie=models.OuterRef("pk"))
        return self.annotate(
            upvotes=models.F("tally__upvotes"),
            downvotes=models.F("tally__downvotes"),
            my_rating=models.Subquery(own.values("rating_type")),
        )


@capture("remote_id", "title", "description", "image_url", "rating", readers=EVERYBODY, soft_delete="deleted")
class Movie(Entity):
    """A movie of the provider. Only a staff command deletes one, because a listing may be incomplete."""

    remote_id = models.UUIDField(unique=True)
    title = models.TextField()
    description = models.TextField(null=True)
    image_url = models.TextField(null=True)
    rating = models.FloatField(null=True, help_text="The provider's rating.")
    missing_since = models.DateTimeField(null=True, help_text="When complete listings began to lack it.")
    folded = FoldedField(help_text="The folded title and description, for searches.")

    objects = MovieQuerySet.as_manager()

    class Meta:
        triggers = [
            BUMP_VERSION,
            *deletes(("movies_rating", "movie_id")),
            fold_trigger("folded", "title", "description"),
            pgtrigger.Trigger(
                name="open_tally",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=NEW_ROWS,
                func=TRIGGERS["open_tally"],
            ),
        ]
        constraints = [
            models.CheckConstraint(name="movies_movie_rating", condition=models.Q(rating__range=FINITE)),
        ]
        indexes = [
            GinIndex(OpClass("folded", "gin_trgm_ops"), name="movies_searched"),
        ]

    def __str__(self) -> str:
        return self.title[:60]


class Wilson(models.Func):
    """The lower bound of the Wilson score interval of the share of upvotes."""

    function = "movies_wilson"
    output_field = models.FloatField()


class Tally(models.Model):
    """The votes for one movie, counted by triggers in the transaction of each vote."""

    uncaptured = "derived from the ratings"

    movie = models.OneToOneField(Movie, models.CASCADE, primary_key=True, related_name="tally")
    upvotes = models.BigIntegerField(db_default=0)
    downvotes = models.BigIntegerField(db_default=0)
    score = models.GeneratedField(
        expression=Wilson("upvotes", "downvotes"), output_field=models.FloatField(), db_persist=True
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="movies_tally_counts", condition=models.Q(upvotes__gte=0) & models.Q(downvotes__gte=0)
            )
        ]

    def __str__(self) -> str:
        return f"+{self.upvotes} -{self.downvotes}"


def _count(name: str, **options: Any) -> pgtrigger.Trigger:  # noqa: ANN401 - pgtrigger's options
    return pgtrigger.Trigger(name=name, level=pgtrigger.Statement, when=pgtrigger.After, func=TRIGGERS[name], **options)


class RatingQuerySet(EntityQuerySet["Rating"]):
    """Filters of ratings."""

    def of(self, user: AnyUser) -> Self:
        """Ratings of one user."""
        return self.filter(user=user)


@capture("user_id", "movie_id", "rating_type", readers="user_id", soft_delete="deleted")
class Rating(Entity):
    """A user's rating of a movie."""

    class Type(models.TextChoices):
        UPVOTE = "UPVOTE"
        DOWNVOTE = "DOWNVOTE"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="movie_ratings")
    movie = models.ForeignKey(Movie, models.CASCADE, related_name="ratings")
    rating_type = models.TextField(choices=Type)

    objects = RatingQuerySet.as_manager()

    class Meta:
        triggers = [
            BUMP_VERSION,
            *AliveParent.of("user"),
            *AliveParent.of("movie"),
            _count("count_insert", operation=pgtrigger.Insert, referencing=NEW_ROWS),
            _count("count_update", operation=pgtrigger.Update, referencing=BOTH_ROWS),
            _count("count_delete", operation=pgtrigger.Delete, referencing=OLD_ROWS),
            _count("count_truncate", operation=pgtrigger.Truncate),
        ]
        constraints = [
            models.UniqueConstraint("user", "movie", name="movies_rating_once", condition=models.Q(deleted=None)),
            models.CheckConstraint(
                name="movies_rating_type", condition=models.Q(rating_type__in=["UPVOTE", "DOWNVOTE"])
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-id"], name="movies_rating_of", condition=models.Q(deleted=None)),
            models.Index(fields=["movie"], name="movies_rated", condition=models.Q(deleted=None)),
        ]

    def __str__(self) -> str:
        return self.rating_type


class Voter(get_user_model()):  # type: ignore[misc]  # the project's user model
    """A user as a voter, whose votes are deleted with the account, and no longer count."""

    uncaptured = "a proxy of the user, which accounts captures"

    class Meta:
        proxy = True
        default_permissions = ()
        triggers = deletes_of_user(("movies_rating", "user_id"))


class Catalogue(models.Model):
    """The freshness of the movies and the claim of a refresh: one row."""

    uncaptured = "it changes with every refresh; the movies' own changes are captured"

    id = models.SmallIntegerField(primary_key=True, default=1)
    refreshed = models.DateTimeField(null=True, help_text="When movies were last received.")
    complete = models.DateTimeField(null=True, help_text="When the complete catalogue was last received.")
    failures = models.IntegerField(db_default=0, help_text="Failed refreshes since then.")
    outcome = models.TextField(blank=True, db_default="", help_text="How the last refresh ended.")
    retry_at = models.DateTimeField(db_default=Now(), help_text="No refresh starts before.")
    lease_until = models.DateTimeField(db_default=Now(), help_text="When the claim of the current refresh ends.")

    class Meta:
        verbose_name_plural = "catalogue"
        constraints = [models.CheckConstraint(name="movies_catalogue_one", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return "the catalogue"
