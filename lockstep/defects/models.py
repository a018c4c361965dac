"""Defects that people report. Who reported and who took back is counted elsewhere: broadcast.py."""

from typing import Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models.functions import Upper

from lockstep.changes.capture import EVERYBODY, capture
from lockstep.changes.entities import TOUCH, AliveParent, Entity, EntityQuerySet, number_field

MAX_COMMENT = 10_000


class DefectQuerySet(EntityQuerySet["Defect"]):
    """Reads of defects."""

    def saying(self, text: str) -> Self:
        """Those with this in their comment, whatever its case."""
        return self.filter(comment__icontains=text)


class Defect(Entity):
    """Something that is wrong, and who said so."""

    number = number_field("defects_defect_number")
    # By the number: it is captured, and so a change alone says whom to count, whatever becomes of the account.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="defects", to_field="number")
    comment = models.TextField(validators=[MaxLengthValidator(MAX_COMMENT)])

    objects = DefectQuerySet.as_manager()

    class Meta:
        triggers = [
            *capture("number", "user_id", "comment", readers=EVERYBODY),
            TOUCH,
            *AliveParent.of("user"),
        ]
        indexes = [
            models.Index(fields=["-id"], name="defects_newest", condition=models.Q(deleted=None)),
            models.Index(fields=["user", "-id"], name="defects_of", condition=models.Q(deleted=None)),
            GinIndex(OpClass(Upper("comment"), "gin_trgm_ops"), name="defects_saying"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.comment[:60]}"
