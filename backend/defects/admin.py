"""Defects in the admin. The user who adds one is its reporter."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from backend.defects.models import Defect
from backend.entities.admin_site import EntityAdmin, admin_site


@admin.register(Defect, site=admin_site)
class DefectAdmin(EntityAdmin):
    """Defects; their user cannot be changed."""

    list_display = ("number", "comment", "user", "created")
    list_select_related = ("user",)
    search_fields = ("folded", "user__username")
    ordering = ("-id",)

    def get_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        return ("comment", "user", *self.made_by_database) if obj else ("comment",)

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> tuple[str, ...]:
        return ("user", *super().get_readonly_fields(request, obj))

    def save_model(self, request: HttpRequest, obj: Defect, form: Any, change: bool) -> None:  # noqa: ANN401
        """Sets the user of a new defect."""
        if not change:
            obj.user_id = request.user.number  # type: ignore[union-attr]  # users of the admin are signed in
        super().save_model(request, obj, form, change)
