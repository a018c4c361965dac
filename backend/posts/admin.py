"""Posts and comments in the admin. Its writes are captured and mirrored like any other."""

from django.contrib import admin
from django.http import HttpRequest

from backend.entities.admin_site import EntityAdmin, admin_site
from backend.posts.models import Comment, Post


@admin.register(Post, site=admin_site)
class PostAdmin(EntityAdmin):
    one_line = ("title",)
    verbatim = ("body",)
    list_display = ("number", "title", "user_id", "updated")
    search_fields = ("title", "body")
    ordering = ("-number",)

    def consequences(self, obj: Post) -> list[str]:
        """The number of comments that are deleted with the post."""
        comments = obj.comments.filter(deleted=None).count()
        return [f"{comments:,} of its comments {'is' if comments == 1 else 'are'} deleted."] if comments else []


@admin.register(Comment, site=admin_site)
class CommentAdmin(EntityAdmin):
    one_line = ("name", "email")
    verbatim = ("body",)
    list_display = ("number", "post", "name", "email", "updated")
    search_fields = ("name", "email", "body")
    ordering = ("-number",)
    raw_id_fields = ("post",)
    list_select_related = ("post",)

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), *(["post"] if obj else []))
