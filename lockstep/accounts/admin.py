"""Accounts in the admin: who may sign in, and as what."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest

from lockstep.accounts import actions
from lockstep.accounts.models import User
from lockstep.api.admin_site import EntityAdmin, admin_site


@admin.register(User, site=admin_site)
class AccountAdmin(EntityAdmin, UserAdmin):  # type: ignore[type-arg]  # it takes none at run time
    """Django's own form for users; deleting an account is what its owner does."""

    ordering = ("-number",)
    list_display = ("number", "username", "email", "is_staff", "is_active", "created")
    list_filter = ("is_staff", "is_active")
    fieldsets = (
        (None, {"fields": ("number", "username", "password")}),
        ("Who", {"fields": ("first_name", "last_name", "email")}),
        ("May", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("When", {"fields": ("created", "updated", "last_login")}),
    )
    made_by_database = ("number", "created", "updated", "last_login")

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for user in queryset:
            actions.delete_account(actor=f"user:{request.user.pk}", user=user)
