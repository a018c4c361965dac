"""Movies: somebody else's catalogue, kept here, and what our users think of them."""

from pathlib import Path
from typing import Any, Self

import pgtrigger
from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models.functions import Now, Upper

from lockstep.changes.capture import BOTH_ROWS, EVERYBODY, NEW_ROWS, OLD_ROWS, capture
from lockstep.changes.entities import TOUCH, AliveParent, Entity, EntityQuerySet, Somebody
from lockstep.changes.sql_file import load

TRIGGERS = load(Path(__file__).parent / "sql" / "triggers.sql")
MOST_WORDS = 8  # of a search


class MovieQuerySet(EntityQuerySet["Movie"]):
    """Reads of movies."""

    def matching(self, query: str) -> Self:
        """Those that have every word in their title or their description, whatever its case."""
        rows = self
        for word in query.split()[:MOST_WORDS]:
            rows = rows.filter(models.Q(title__icontains=word) | models.Q(description__icontains=word))
        return rows

    def counted_for(self, user: Somebody) -> Self:
        """With everybody's votes beside each, and this user's own."""
        own = Rating.objects.alive().filter(user=user, movie=models.OuterRef("pk"))
        return self.annotate(
            upvotes=models.F("tally__upvotes"),
            downvotes=models.F("tally__downvotes"),
            my_rating=models.Subquery(own.values("rating_type")),
        )


class Movie(Entity):
    """A movie of the provider's. Only a staff command deletes one: what a listing lacks may be the listing's fault."""

    remote_id = models.UUIDField(unique=True)
    title = models.TextField()
    description = models.TextField(null=True)
    image_url = models.TextField(null=True)
    rating = models.FloatField(null=True, help_text="The provider's own.")
    missing_since = models.DateTimeField(null=True, help_text="Since when whole listings of the provider lack it.")

    objects = MovieQuerySet.as_manager()

    class Meta:
        triggers = [
            *capture("remote_id", "title", "description", "image_url", "rating", readers=EVERYBODY),
            TOUCH,
            pgtrigger.Trigger(
                name="open_tally",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=NEW_ROWS,
                func=TRIGGERS["open_tally"],
            ),
        ]
        indexes = [
            GinIndex(OpClass(Upper("title"), "gin_trgm_ops"), name="movies_titled"),
            GinIndex(OpClass(Upper("description"), "gin_trgm_ops"), name="movies_described"),
        ]

    def __str__(self) -> str:
        return self.title[:60]


class Wilson(models.Func):
    """The lower end of the interval in which the share of upvotes lies: few votes prove little, either way."""

    function = "movies_wilson"
    output_field = models.FloatField()


class Tally(models.Model):
    """The votes for one movie, counted by the database in the transaction of each vote."""

    uncaptured = "it is what the ratings sum to"

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
    """Reads of ratings."""

    def of(self, user: Somebody) -> Self:
        """Those of one user."""
        return self.filter(user=user)


class Rating(Entity):
    """What one user thinks of one movie."""

    class Type(models.TextChoices):
        UPVOTE = "UPVOTE"
        DOWNVOTE = "DOWNVOTE"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="movie_ratings")
    movie = models.ForeignKey(Movie, models.CASCADE, related_name="ratings")
    rating_type = models.TextField(choices=Type)

    objects = RatingQuerySet.as_manager()

    class Meta:
        triggers = [
            *capture("user_id", "movie_id", "rating_type", readers="user_id"),
            TOUCH,
            *AliveParent.of("user"),
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


class Catalogue(models.Model):
    """How fresh the movies are, and who is fetching them: one row."""

    uncaptured = "what it says changes with every refresh; the movies' own changes are captured"

    id = models.SmallIntegerField(primary_key=True, default=1)
    refreshed = models.DateTimeField(null=True, help_text="When movies last came in.")
    complete = models.DateTimeField(null=True, help_text="When the whole catalogue last came in.")
    failures = models.IntegerField(db_default=0, help_text="Refreshes that failed since then.")
    outcome = models.TextField(blank=True, db_default="", help_text="How the last refresh ended.")
    retry_at = models.DateTimeField(db_default=Now(), help_text="Before that nobody asks the provider.")
    lease_until = models.DateTimeField(db_default=Now(), help_text="Until then somebody is fetching.")

    class Meta:
        verbose_name_plural = "catalogue"
        constraints = [models.CheckConstraint(name="movies_catalogue_one", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return "the catalogue"
