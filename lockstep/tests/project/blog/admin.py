"""Articles and notes in the admin, whose History is the change log's."""

from django.contrib import admin
from project.blog.models import Article, Note, Tag

from lockstep.console.admin import ChangeHistory


@admin.register(Article)
class ArticleAdmin(ChangeHistory):
    def get_queryset(self, request):
        """Removed articles are not listed."""
        return super().get_queryset(request).filter(removed=None)


@admin.register(Note, Tag)  # tags are not captured
class NoteAdmin(ChangeHistory):
    """As it comes."""
