"""Posts and comments in the admin. Its writes are captured and mirrored like any other."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.widgets import AdminTextInputWidget
from django.db.models import Field, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from lockstep.api.admin_site import admin_site
from lockstep.posts.models import Comment, Post


class EntityAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # it takes none at run time
    """Shows what is alive; deletes softly."""

    made_by_database = ("id", "number", "created", "updated")
    one_line: tuple[str, ...] = ()
    show_full_result_count = False
    list_per_page = 50

    def formfield_for_dbfield(self, db_field: "Field[Any, Any]", request: HttpRequest, **kwargs: Any) -> Any:  # noqa: ANN401
        if db_field.name in self.one_line:
            kwargs["widget"] = AdminTextInputWidget
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:  # noqa: ANN401 - any entity
        return self.made_by_database if obj else ()  # a new one has none of it yet

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(deleted=None)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:  # noqa: ANN401 - any entity
        self.delete_queryset(request, self.model._default_manager.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        queryset.update(deleted=Now())


@admin.register(Post, site=admin_site)
class PostAdmin(EntityAdmin):
    one_line = ("title",)
    list_display = ("number", "title", "user_id", "updated")
    search_fields = ("title", "body")
    ordering = ("-number",)


@admin.register(Comment, site=admin_site)
class CommentAdmin(EntityAdmin):
    one_line = ("name", "email")
    list_display = ("number", "post", "name", "email", "updated")
    search_fields = ("name", "email", "body")
    ordering = ("-number",)
    raw_id_fields = ("post",)
    list_select_related = ("post",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:  # noqa: ANN401
        return (*super().get_readonly_fields(request, obj), *(["post"] if obj else []))
