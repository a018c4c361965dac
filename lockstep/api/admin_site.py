"""The admin, whose every write is attributed to who clicked."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.widgets import AdminTextInputWidget
from django.contrib.auth import get_user_model
from django.db.models import Field, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponseBase

from lockstep.changes.attribution import attributed_transaction

View = Callable[..., HttpResponseBase]


class EntityAdmin(ModelAdmin):  # type: ignore[type-arg]  # it takes none at run time
    """Shows what is alive; deletes softly."""

    made_by_database: tuple[str, ...] = ("id", "number", "created", "updated")
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


class ReadOnly:
    """What is there to be looked at: something else writes it."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ANN401 - any entity
        """Nobody adds one here."""
        return False

    has_change_permission = has_delete_permission = has_add_permission


class LockstepAdminSite(AdminSite):
    """Django's admin under our name."""

    site_header = site_title = "Lockstep"
    index_title = "What is here"
    site_url = None  # there is no page beside the admin

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:  # noqa: ANN401 - any view
        return super().admin_view(_attributed(view), cacheable)


def _attributed(view: View) -> View:
    """The view in one transaction that names its user as the actor; reads are left alone.

    The form is read first, and the user is read again once the actor is confirmed: permissions are those of the moment
    of the write, and not of the moment at which the headers came.
    """

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401 - any view
        if request.method != "POST" or not request.user.is_authenticated:
            return view(request, *args, **kwargs)
        request.POST  # noqa: B018 - reads the body, which may take a while
        with attributed_transaction(actor=request.user.admin_actor):
            request.user = get_user_model()._default_manager.get(pk=request.user.pk)
            return view(request, *args, **kwargs)

    return wrapped


admin_site = LockstepAdminSite()
