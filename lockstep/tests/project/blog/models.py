from django.db import models

from lockstep import EVERYBODY, capture


class Tag(models.Model):
    name = models.TextField()


@capture("title", "body", "price", "published", "weight", "span", "raw", readers=EVERYBODY, soft_delete="removed")
class Article(models.Model):
    title = models.TextField()
    body = models.TextField(default="")
    price = models.DecimalField(max_digits=30, decimal_places=4, null=True)
    published = models.DateTimeField(null=True)
    weight = models.FloatField(null=True)
    span = models.DurationField(null=True)
    raw = models.BinaryField(null=True)
    secret = models.TextField(default="not captured")
    removed = models.DateTimeField(null=True)
    tags = models.ManyToManyField(Tag)

    def __str__(self) -> str:
        return self.title


@capture("text")
class Note(models.Model):
    """Its primary key is a text."""

    slug = models.SlugField(primary_key=True)
    text = models.TextField()


class Tally(models.Model):
    """What a transactional subscriber writes."""

    article = models.TextField()
    kind = models.TextField()


capture.register("people.Person", "username", "email", "is_active")
capture.register("auth.Group", "name")
capture.register("blog.Article_tags", "article_id", "tag_id")
