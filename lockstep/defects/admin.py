"""Defects in the admin. Whoever adds one there has reported it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from lockstep.api.admin_site import EntityAdmin, admin_site
from lockstep.defects.models import Defect


@admin.register(Defect, site=admin_site)
class DefectAdmin(EntityAdmin):
    """The user is who adds it, and stays."""

    list_display = ("number", "comment", "user", "created")
    list_select_related = ("user",)
    search_fields = ("folded", "user__username")
    ordering = ("-id",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:  # noqa: ANN401 - a defect
        return ("comment", "user", *self.made_by_database) if obj else ("comment",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:  # noqa: ANN401
        return ("user", *super().get_readonly_fields(request, obj))

    def save_model(self, request: HttpRequest, obj: Defect, form: Any, change: bool) -> None:  # noqa: ANN401
        """Sets the user of a new one."""
        if not change:
            obj.user_id = request.user.number  # type: ignore[union-attr]  # whoever is here is signed in
        super().save_model(request, obj, form, change)
