"""Posts and their comments: a mirror of JSONPlaceholder of which we are the MASTER.

What users write is stored as NFC. What the provider sends comes in by SQL, as the provider has it.
"""

import pgtrigger
from django.core.validators import MaxLengthValidator, validate_email
from django.db import models

from lockstep.changes.capture import EVERYBODY, NEW_ROWS, capture
from lockstep.changes.dependents import deletes
from lockstep.changes.entities import TOUCH, AliveParent, Entity, EntityQuerySet, number_field
from lockstep.changes.folding import NormalTextField

# The provider's user that our own posts belong to: it has users, we mirror none.
OUR_USER_ID = 99999942
# Numbers that routes, JavaScript and the sequences reach.
REACHABLE = models.Q(number__range=(0, 2**53 - 1))
MAX_TITLE, MAX_BODY, MAX_EMAIL = 1_000, 100_000, 254


class Post(Entity):
    """A post. Deleting it deletes its comments, whoever deletes it: the database sees to that."""

    number = number_field("posts_post_number")
    user_id = models.BigIntegerField(db_default=OUR_USER_ID, editable=False, help_text="The provider's user.")
    title = NormalTextField(validators=[MaxLengthValidator(MAX_TITLE)])
    body = NormalTextField(validators=[MaxLengthValidator(MAX_BODY)])

    objects = EntityQuerySet.as_manager()

    class Meta:
        triggers = [
            *capture("number", "user_id", "title", "body", readers=EVERYBODY),
            TOUCH,
            *deletes(("posts_comment", "post_id")),
        ]
        constraints = [models.CheckConstraint(name="posts_post_number_reachable", condition=REACHABLE)]

    def __str__(self) -> str:
        return f"{self.number} {self.title[:60]}"


class Comment(Entity):
    """A comment on a post; it never moves to another one."""

    number = number_field("posts_comment_number")
    # The constraint is made in the migration, with ON DELETE CASCADE: a DELETE in psql takes the comments along.
    post = models.ForeignKey(
        Post, models.CASCADE, related_name="comments", db_constraint=False, limit_choices_to={"deleted": None}
    )
    name = NormalTextField(validators=[MaxLengthValidator(MAX_TITLE)])
    email = NormalTextField(validators=[validate_email, MaxLengthValidator(MAX_EMAIL)])
    body = NormalTextField(validators=[MaxLengthValidator(MAX_BODY)])

    objects = EntityQuerySet.as_manager()

    class Meta:
        triggers = [
            *capture("number", "post_id", "name", "email", "body", readers=EVERYBODY, staff_only=("email",)),
            TOUCH,
            AliveParent.of_updates("post"),
            # Inserted rows by statement, unlike AliveParent: an import inserts hundreds of thousands.
            pgtrigger.Trigger(
                name="refuse_deleted_post",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=NEW_ROWS,
                func="""
                    PERFORM FROM posts_post WHERE id IN (SELECT post_id FROM new_rows) ORDER BY id FOR KEY SHARE;
                    IF EXISTS (SELECT FROM new_rows n JOIN posts_post p ON p.id = n.post_id WHERE p.deleted IS NOT NULL)
                    THEN
                        RAISE EXCEPTION 'A comment needs a post that is not deleted.' USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NULL;
                """,
            ),
        ]
        constraints = [models.CheckConstraint(name="posts_comment_number_reachable", condition=REACHABLE)]

    def __str__(self) -> str:
        return f"{self.number} {self.name[:60]}"
