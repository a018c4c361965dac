"""Defects that users report. A counter counts creations and deletions: broadcast.py."""

from typing import Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.core.validators import MaxLengthValidator
from django.db import models

from backend.entities.folding import FoldedField, NormalTextField, fold_trigger
from backend.entities.models import BUMP_VERSION, AliveParent, Entity, EntityQuerySet, number_field
from lockstep import EVERYBODY, capture

MAX_COMMENT = 10_000


class DefectQuerySet(EntityQuerySet["Defect"]):
    """Filters of defects."""

    def saying(self, text: str) -> Self:
        """Defects whose comment contains the text, in any equal spelling."""
        return self.filter(folded__icontains=text)


@capture("number", "user_id", "comment", readers=EVERYBODY, soft_delete="deleted")
class Defect(Entity):
    """A defect, with the user who reported it."""

    number = number_field("defects_defect_number")
    # By number, which is captured: a change alone identifies the user to count, even after the account is deleted.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="defects", to_field="number")
    comment = NormalTextField(validators=[MaxLengthValidator(MAX_COMMENT)])
    folded = FoldedField(help_text="The folded comment, for searches.")

    objects = DefectQuerySet.as_manager()

    class Meta:
        triggers = [
            BUMP_VERSION,
            *AliveParent.of("user"),
            fold_trigger("folded", "comment"),
        ]
        indexes = [
            models.Index(fields=["-id"], name="defects_newest", condition=models.Q(deleted=None)),
            models.Index(fields=["user", "-id"], name="defects_of", condition=models.Q(deleted=None)),
            GinIndex(OpClass("folded", "gin_trgm_ops"), name="defects_searched"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.comment[:60]}"
