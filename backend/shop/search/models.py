"""The index of the product search, and the vocabulary with which misspelt words are compared."""

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchVectorField
from django.db import models


class SearchEntry(models.Model):
    """The index entry of a product (engine.py), maintained by triggers."""

    uncaptured = "derived from the product and its tags, which are captured"

    product = models.OneToOneField(
        "shop.Product", models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    document = SearchVectorField()

    class Meta:
        indexes = [GinIndex(fields=["document"], name="shop_search_document", fastupdate=False)]

    def __str__(self) -> str:
        return f"{self.product_id}"


class SearchWord(models.Model):
    """A spelling term: a word of a product, with which misspelt words are compared."""

    uncaptured = "derived from products and tags, which are captured"

    word = models.TextField(primary_key=True)

    class Meta:
        # The key's own index for LIKE serves prefixes.
        indexes = [GinIndex(OpClass("word", "gin_trgm_ops"), name="shop_search_word_like")]

    def __str__(self) -> str:
        return self.word


class PendingVocabulary(models.Model):
    """A product whose words a worker still has to add to the vocabulary."""

    uncaptured = "a work queue"

    product = models.OneToOneField(
        "shop.Product", models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )

    def __str__(self) -> str:
        return f"{self.product_id}"
