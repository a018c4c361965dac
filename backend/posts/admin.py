"""Posts and comments in the admin. Its writes are captured and mirrored like any other."""

from textwrap import shorten
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import models
from django.http import HttpRequest

from backend.entities.admin_site import EntityAdmin, admin_site
from backend.posts.mirror import COMMENTS, POSTS
from backend.posts.models import Comment, Post
from backend.posts.sync import sync_states
from lockstep.mirror.collections import Collection

MAX_STATE = 120  # characters in a list


class MirroredList(ChangeList):
    """A list whose rows know how far they have come at the provider."""

    model_admin: "MirroredAdmin"

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        states = sync_states(self.model_admin.collection, [row.pk for row in self.result_list])
        for row in self.result_list:
            row.state_found = states[row.pk]


class MirroredAdmin(EntityAdmin):
    """Objects that the provider has, too."""

    collection: ClassVar[Collection]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ANN401 - the base's
        return MirroredList

    @admin.display(description="At the provider")
    def sync_state(self, row: models.Model) -> str:
        """How far it has come there."""
        return shorten(getattr(row, "state_found", ""), MAX_STATE, placeholder="…")


@admin.register(Post, site=admin_site)
class PostAdmin(MirroredAdmin):
    collection = POSTS
    one_line = ("title",)
    verbatim = ("body",)
    list_display = ("number", "title", "user_id", "updated", "sync_state")
    search_fields = ("title", "body")
    ordering = ("-number",)

    def consequences(self, obj: Post) -> list[str]:
        """The number of comments that are deleted with the post."""
        comments = obj.comments.filter(deleted=None).count()
        return [f"{comments:,} of its comments {'is' if comments == 1 else 'are'} deleted."] if comments else []


@admin.register(Comment, site=admin_site)
class CommentAdmin(MirroredAdmin):
    collection = COMMENTS
    one_line = ("name", "email")
    verbatim = ("body",)
    list_display = ("number", "post", "name", "email", "updated", "sync_state")
    search_fields = ("name", "email", "body")
    ordering = ("-number",)
    raw_id_fields = ("post",)
    list_select_related = ("post",)

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), *(["post"] if obj else []))
