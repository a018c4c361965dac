"""The admin: each write is one transaction, which is attributed to its user and confirms the user's rights."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.admin.widgets import AdminTextInputWidget
from django.contrib.auth import get_user_model
from django.contrib.auth.views import PasswordChangeView
from django.contrib.sessions.models import Session
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import DatabaseError, DataError, IntegrityError, OperationalError, ProgrammingError, models, transaction
from django.db.models import Field, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.functional import cached_property
from psycopg.errors import DeadlockDetected

from backend.entities.admin_forms import EntityForm, PlainDecimal, PlainInteger, PlainTextarea
from backend.entities.models import Entity
from lockstep.changes.attribution import attributed_transaction
from lockstep.console.admin import ChangeHistory
from lockstep.rest.concurrency import ANY_VERSION, lock
from lockstep.rest.errors import DomainError, Invalid, NotFound
from lockstep.rest.requests import address_of
from lockstep.rest.violations import CONCURRENT_WRITE, REFUSED, is_concurrent, trigger_message, violation

View = Callable[..., HttpResponseBase]

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3  # at a request whose transaction was aborted to resolve a deadlock
MAX_COUNTED = 10_000  # rows of a list; later ones are found by a search
MAX_LISTED = 100  # objects on the page that confirms a deletion


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # it takes none at run time
    """Pages of the first MAX_COUNTED rows: neither the count nor the last page reads more."""

    @cached_property
    def count(self) -> int:
        """The number of rows, MAX_COUNTED at most."""
        rows = self.object_list
        return rows[:MAX_COUNTED].count() if isinstance(rows, QuerySet) else len(rows)


class EntityAdmin(ChangeHistory):
    """Lists objects that are not deleted, deletes softly, and writes only changed fields (admin_forms.py).

    The History is the change log's, also of a deleted object.
    """

    made_by_database: tuple[str, ...] = ("id", "number", "created", "updated")
    one_line: tuple[str, ...] = ()
    verbatim: tuple[str, ...] = ()  # texts that are not trimmed
    form = EntityForm
    formfield_overrides = {
        models.TextField: {"widget": PlainTextarea},
        models.BigIntegerField: {"form_class": PlainInteger},
        models.DecimalField: {"form_class": PlainDecimal},
    }
    change_form_template = "admin/entity/change_form.html"
    delete_confirmation_template = "admin/entity/delete_confirmation.html"
    delete_selected_confirmation_template = "admin/entity/delete_selected_confirmation.html"
    show_full_result_count = False
    list_per_page = 50

    class Media:
        css = {"all": ["entities/admin.css"]}

    def formfield_for_dbfield(self, db_field: "Field[Any, Any]", request: HttpRequest, **kwargs: Any) -> Any:  # noqa: ANN401
        if db_field.name in self.one_line:
            kwargs["widget"] = AdminTextInputWidget
        if db_field.name in self.verbatim:
            kwargs["strip"] = False
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:  # noqa: ANN401 - any entity
        return self.made_by_database if obj else ()  # a new object has no values for them yet

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Model]:
        return super().get_queryset(request).filter(deleted=None)

    def has_deleted_history_permission(self, request: HttpRequest) -> bool:
        """Whether the user may see objects of this kind: only deleted ones are not listed."""
        return self.has_view_or_change_permission(request)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> models.Model | None:
        """The object, locked until the end of the transaction for a POST."""
        found = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST":
            return found
        return self.get_queryset(request).select_for_update(no_key=True, of=("self",)).filter(pk=found.pk).first()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: ANN401
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"refusals": getattr(request, "refusals", {})})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """What the database or an action refuses is an error of the form, as any other."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except (IntegrityError, DataError, DomainError) as error:
            request.refusals = _refusals(self.model, error)  # type: ignore[attr-defined]  # for get_form
            return super().changeform_view(request, object_id, form_url, extra_context)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: ANN401 - any entity
        """Creates a new object with parents that are not deleted; updates the changed columns of an existing one."""
        if not change:
            _lock_parents(obj)
            obj.save()
            return
        obj.save(update_fields=[field.name for field in obj._meta.concrete_fields if field.name in form.changed_data])
        if kept := [str(form[name].label) for name in form.moved if name not in form.changed_data]:
            messages.info(request, f"Changed elsewhere since you opened the page, and kept: {', '.join(kept)}.")

    def get_deleted_objects(self, objs: Iterable[models.Model], request: HttpRequest) -> Any:  # noqa: ANN401 - nested lists
        """The effects of a soft deletion. Objects that refer to the deleted ones stay, and do not protect them."""
        chosen = list(self._locked(objs) if request.POST.get("post") else objs)
        listed = [line for one in chosen[:MAX_LISTED] for line in (str(one), self.consequences(one)) if line]
        if len(chosen) > MAX_LISTED:
            listed.append(f"and {len(chosen) - MAX_LISTED:,} more")
        forbidden = set() if self.may_delete(request, chosen) else {str(self.opts.verbose_name)}
        return listed, {self.opts.verbose_name_plural: len(chosen)}, forbidden, []

    def consequences(self, obj: Any) -> list[str]:  # noqa: ANN401 - any entity
        """Further effects of the deletion of this object."""
        return []

    def may_delete(self, request: HttpRequest, objs: Sequence[Any]) -> bool:
        """Whether the request's user may delete each of these."""
        return all(self.has_delete_permission(request, one) for one in objs)

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        self.delete_queryset(request, self.model._default_manager.filter(pk=obj.pk, deleted=None))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        queryset.update(deleted=Now())

    def _locked(self, objs: Iterable[models.Model]) -> Iterable[models.Model]:
        """The objects, locked in the order of their ids, as orders lock them."""
        if not isinstance(objs, QuerySet):
            return list(objs)  # get_object has locked it
        rows: QuerySet[Any] = self.model._default_manager.filter(pk__in=objs.values("pk"), deleted=None).order_by("pk")
        return rows.select_for_update(no_key=True, of=("self",))


class ReadOnly:
    """A mixin for models that the admin only displays."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Returns False: objects are not added in the admin."""
        return False

    has_change_permission = has_delete_permission = has_add_permission


class OwnPasswordView(PasswordChangeView):
    """Passes the client's address to the form."""

    def get_form_kwargs(self) -> dict[str, object]:
        return {**super().get_form_kwargs(), "address": address_of(self.request)}


class LockstepAdminSite(AdminSite):
    """Django's admin under our name."""

    site_header = site_title = "Lockstep"
    index_title = "Administration"
    site_url = "/"
    own_password_form: type[forms.Form] = AdminPasswordChangeForm

    def admin_view(self, view: View, cacheable: bool = False) -> Any:  # noqa: ANN401 - a view
        return super().admin_view(_refusing_junk(_attributed(view)), cacheable)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        """Django's page with the form of the project."""
        request.current_app = self.name  # for the page's links
        view = OwnPasswordView.as_view(
            form_class=self.own_password_form,
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return view(request)


def _refusing_junk(view: View) -> View:
    """Responds 400 to invalid filters and selections: Django's admin accepts any look-up, and fails later."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except (ValidationError, DataError) as error:
            raise BadRequest("The request has an invalid value.") from error
        except (ValueError, IndexError, ProgrammingError) as error:
            is_of_the_query = request.method == "GET" and bool(request.GET)
            if not is_of_the_query and "NUL" not in str(error):  # psycopg refuses to send NUL
                raise
            raise BadRequest("The request has an invalid value.") from error

    return wrapped


def _attributed(view: View) -> View:
    """The view in one transaction with its user as the actor; reads are unchanged.

    The form is read first, and the user again once the actor is confirmed: permissions are those at the time of the
    write, not of the headers. An error at commit, or in an action on a page without a form, is a message on that page.
    """

    @wraps(view)
    def wrapped(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if request.method != "POST" or not request.user.is_authenticated:
            return view(request, *args, **kwargs)
        request.POST  # noqa: B018 - reads the body, which may take a while
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                with _account_locked(request), attributed_transaction(actor=request.user.admin_actor):
                    _hold_user(request)
                    return view(request, *args, **kwargs)
            except (IntegrityError, DomainError) as error:
                messages.error(request, _error_message(error))
                return HttpResponseRedirect(request.get_full_path())
            except OperationalError as error:
                if attempt == MAX_ATTEMPTS or not isinstance(error.__cause__, DeadlockDetected):
                    raise
        raise AssertionError("unreachable")  # pragma: no cover - the last attempt returns or raises

    return wrapped


def _error_message(error: IntegrityError | DomainError) -> str:
    if isinstance(error, DomainError):
        return str(error)
    if is_concurrent(error):
        return CONCURRENT_WRITE
    logger.error("the database refused a write of the admin", exc_info=error)
    return trigger_message(error) or REFUSED


@contextmanager
def _account_locked(request: HttpRequest) -> Iterator[None]:
    """A transaction that locks the account before the confirmation does.

    The lock of the confirmation is weaker; upgrading it would deadlock with a withdrawal that waits for it.
    """
    with transaction.atomic():
        _account(request).first()
        yield


def _hold_user(request: HttpRequest) -> None:
    """Reads the request's user again, so that the view decides by rights that hold until it commits.

    The transaction has confirmed the account, and a withdrawal of rights waits for it. Signing out waits for the
    lock of the session's row, and a change of permissions in the admin for the lock of the account's.
    """
    if not Session.objects.select_for_update().filter(pk=request.session.session_key).exists():
        raise PermissionDenied("The session ended while the page was being saved. Nothing was saved; sign in again.")
    request.user = _account(request).get()


def _account(request: HttpRequest) -> QuerySet[Any]:
    accounts: QuerySet[Any] = get_user_model()._default_manager.filter(pk=request.user.pk)
    return accounts.select_for_update(no_key=True).order_by()


def _lock_parents(obj: Any) -> None:  # noqa: ANN401 - any entity
    """Locks the objects that a new object refers to. Raises Invalid for a deleted one."""
    for field in obj._meta.concrete_fields:
        parent = field.related_model
        if parent is None or not issubclass(parent, Entity) or getattr(obj, field.attname) is None:
            continue
        key = {field.target_field.name: getattr(obj, field.attname)}
        try:
            lock(parent._default_manager.filter(deleted=None), ANY_VERSION, **key)
        except NotFound as error:
            raise Invalid({field.name: f"This {parent._meta.verbose_name} does not exist, or was deleted."}) from error


def _refusals(model: type[models.Model], error: Exception) -> Mapping[str | None, str]:
    """Messages by field; None for the whole form."""
    if isinstance(error, DatabaseError):
        field, message = violation(model, error)
        return {field: message}
    if isinstance(error, DomainError) and error.errors:
        return {one["field"]: one["detail"] for one in error.errors}
    return {None: str(error)}


admin_site = LockstepAdminSite()
