"""Posts and their comments: a mirror of JSONPlaceholder of which we are the MASTER.

Texts of users are stored in NFC. Texts of the provider are imported by SQL unchanged.
"""

import pgtrigger
from django.core.validators import MaxLengthValidator, validate_email
from django.db import models

from backend.entities.dependents import deletes
from backend.entities.folding import NormalTextField
from backend.entities.models import BUMP_VERSION, AliveParent, Entity, EntityQuerySet, number_field
from backend.entities.transition_tables import NEW_ROWS
from lockstep import EVERYBODY, capture
from lockstep.sql import statements

TRIGGERS = statements(__file__, "triggers")

# The provider's user of our own posts: users are not mirrored.
OUR_USER_ID = 99999942
# The numbers that routes, JavaScript and the sequences can represent.
REACHABLE = models.Q(number__range=(0, 2**53 - 1))
MAX_TITLE, MAX_BODY, MAX_EMAIL = 1_000, 100_000, 254


@capture("number", "user_id", "title", "body", readers=EVERYBODY, soft_delete="deleted")
class Post(Entity):
    """A post. Triggers delete its comments with it, for every writer."""

    number = number_field("posts_post_number")
    user_id = models.BigIntegerField(db_default=OUR_USER_ID, editable=False, help_text="The provider's user.")
    title = NormalTextField(validators=[MaxLengthValidator(MAX_TITLE)])
    body = NormalTextField(validators=[MaxLengthValidator(MAX_BODY)])

    objects = EntityQuerySet.as_manager()

    class Meta:
        triggers = [
            BUMP_VERSION,
            *deletes(("posts_comment", "post_id")),
        ]
        constraints = [models.CheckConstraint(name="posts_post_number_reachable", condition=REACHABLE)]

    def __str__(self) -> str:
        return f"{self.number} {self.title[:60]}"


@capture("number", "post_id", "name", "email", "body", readers=EVERYBODY, staff_only=("email",), soft_delete="deleted")
class Comment(Entity):
    """A comment on a post; it cannot be moved to another one."""

    number = number_field("posts_comment_number")
    # The migration creates the constraint with ON DELETE CASCADE, for a DELETE in psql.
    post = models.ForeignKey(
        Post, models.CASCADE, related_name="comments", db_constraint=False, limit_choices_to={"deleted": None}
    )
    name = NormalTextField(validators=[MaxLengthValidator(MAX_TITLE)])
    email = NormalTextField(validators=[validate_email, MaxLengthValidator(MAX_EMAIL)])
    body = NormalTextField(validators=[MaxLengthValidator(MAX_BODY)])

    objects = EntityQuerySet.as_manager()

    class Meta:
        triggers = [
            BUMP_VERSION,
            AliveParent.of_updates("post"),
            # Inserts are checked per statement, unlike AliveParent: an import inserts hundreds of thousands.
            pgtrigger.Trigger(
                name="refuse_deleted_post",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=NEW_ROWS,
                func=TRIGGERS["refuse_deleted_post"],
            ),
        ]
        constraints = [models.CheckConstraint(name="posts_comment_number_reachable", condition=REACHABLE)]

    def __str__(self) -> str:
        return f"{self.number} {self.name[:60]}"
