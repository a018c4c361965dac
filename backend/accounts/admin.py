"""Accounts in the admin. Staff cannot grant rights that they do not have (decision 37)."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from backend.accounts import (
    actions,
    admin_clients,  # noqa: F401 - registers them
)
from backend.accounts.models import User
from backend.entities.admin_forms import EntityForm
from backend.entities.admin_site import EntityAdmin, admin_site

RIGHTS = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")


class AccountForm(EntityForm, UserChangeForm):  # type: ignore[type-arg]  # it takes none at run time
    """Django's form for users, which writes changed fields only."""


class NewAccountForm(EntityForm, AdminUserCreationForm):  # type: ignore[type-arg]
    """Django's form for a new user."""


@admin.register(User, site=admin_site)
class AccountAdmin(EntityAdmin, UserAdmin):  # type: ignore[type-arg]  # it takes none at run time
    """Django's pages for users; deletion is the action of an account's owner."""

    form, add_form = AccountForm, NewAccountForm
    ordering = ("-number",)
    list_display = ("number", "username", "email", "is_staff", "is_active", "created")
    list_filter = ("is_staff", "is_active")
    fieldsets = (
        (None, {"fields": ("number", "username", "password")}),
        ("Personal data", {"fields": ("first_name", "last_name", "email")}),
        ("Permissions", {"fields": RIGHTS}),
        ("Dates", {"fields": ("created", "updated", "last_login")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "email", "usable_password", "password1", "password2")}),)
    made_by_database = ("number", "created", "updated", "last_login")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """False for an account with rights that the request's user lacks. The password page calls it as well."""
        return super().has_change_permission(request, obj) and self._may_touch(request, [obj] if obj else [])

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """False for an account with rights that the request's user lacks."""
        return super().has_delete_permission(request, obj) and self._may_touch(request, [obj] if obj else [])

    def may_delete(self, request: HttpRequest, objs: Sequence[User]) -> bool:
        """Whether all these accounts may be deleted, in one query."""
        return super().has_delete_permission(request) and self._may_touch(request, objs)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Only superusers appoint superusers and staff; other users cannot change their own rights."""
        fields = super().get_readonly_fields(request, obj)
        if _user(request).is_superuser:
            return fields
        return (*fields, *(RIGHTS if obj == request.user else ("is_staff", "is_superuser")))

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Limits the choices to permissions and groups that the request's user has."""
        if request and not _user(request).is_superuser:
            beyond = Permission.objects.exclude(pk__in=_permissions_of(_user(request)))
            choices = {
                "user_permissions": Permission.objects.exclude(pk__in=beyond),
                "groups": Group.objects.exclude(permissions__in=beyond),
            }
            kwargs["queryset"] = choices[db_field.name]
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def consequences(self, obj: User) -> list[str]:
        """The objects that triggers (withdrawal.sql, deletes_of_user) and webhooks' actions delete with an account."""
        return [
            "The account is signed out everywhere.",
            "Its profile, products, ratings, follows and webhooks are deleted.",
            "Its name and address can be used again. Its orders and defects stay as they are.",
        ]

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            actions.delete_account(actor=f"user:{request.user.pk}", user=user)

    def _may_touch(self, request: HttpRequest, users: Sequence[User]) -> bool:
        """Whether none of these accounts has a right that the request's user lacks."""
        if not users or _user(request).is_superuser:
            return True
        beyond = Permission.objects.exclude(pk__in=_permissions_of(_user(request)))
        more = Q(is_superuser=True) | Q(user_permissions__in=beyond) | Q(groups__permissions__in=beyond)
        return not User.objects.filter(more, pk__in=[user.pk for user in users]).exists()


def _permissions_of(user: User) -> QuerySet[Permission]:
    """The permissions of a user who is not a superuser, those of groups included."""
    return Permission.objects.filter(Q(user=user) | Q(group__user=user))


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - guaranteed by the admin
    return request.user
