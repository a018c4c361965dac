"""What all pages of the console share: who may see them, their headers, their context; and actions in three steps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from uuid import UUID, uuid4

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite, site
from django.contrib.auth import SESSION_KEY, get_user, get_user_model
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, InterfaceError, router, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import resolve, reverse
from django.utils.encoding import escape_uri_path
from django.utils.http import urlencode
from django.views import View

from lockstep.changes.database_errors import cause_of, is_read_only, is_transient
from lockstep.console.links import address
from lockstep.console.recording import OtherOperation, carry_out
from lockstep.console.words import plain
from lockstep.delivery.operations import NotInLog, StillDeclared, UnknownMessage, UnknownSubscription, WrongState
from lockstep.delivery.providers import declared_providers
from lockstep.mirror.collections import registered_mirrors
from lockstep.page_policy import page_policy

VIEW, OPERATE = "lockstep.view_subscription", "lockstep.operate_subscription"
# The pages of the navigation: the route's name and its words.
SECTIONS = {
    "overview": "Overview",
    "subscriptions": "Subscriptions",
    "dead_letters": "Dead letters",
    "webhooks": "Webhooks",
    "changes": "Live changes",
    "mirrors": "Mirrors",
    "providers": "Providers",
    "audit": "Audit",
    "workers": "Workers",
    "operations": "Operations",
}
# Sections of what not every project has, and whether this one does.
OPTIONAL_SECTIONS: dict[str, Callable[[], object]] = {"mirrors": registered_mirrors, "providers": declared_providers}
MAX_VALUE = 1_000  # characters of a parameter: a page repeats what is not valid
LONGER_VALUES = {"letters": 40_000}

Breadcrumb = tuple[str, str]  # words and address


class ConsoleView(View):
    """A page of the console. A subclass sets the attributes and returns its own context from `context`."""

    template_name: ClassVar[str]
    title: ClassVar[str]
    section: ClassVar[str]  # whose entry of the navigation is the current one
    permission: ClassVar[str] = VIEW
    is_live: ClassVar[bool] = False  # whether the block `live` of the template is loaded anew every five seconds
    base_template: ClassVar[str] = "lockstep/console/base.html"  # of templates that several kinds of pages share
    http_method_names = ["get", "head"]

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """Refuses clients without the permission, and sets the headers of every response."""
        try:
            response = self._refusal(request) or super().dispatch(request, *args, **kwargs)
        except (Http404, UnknownSubscription) as error:
            sentence = plain(str(error)) or "There is nothing at this address."
            response = self._error_page(request, 404, "Not found", sentence)
        except PermissionDenied as error:
            response = self._error_page(request, 403, "Not allowed", str(error))
        except (DatabaseError, InterfaceError) as error:
            if not is_transient(error):
                raise
            response = _unavailable_page(error)
        response.headers["Content-Security-Policy"] = page_policy()
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-store"
        response.is_page = True  # type: ignore[attr-defined]  # an error of ours is not replaced (lockstep/rest/middleware.py)
        return response

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        return self.page(request, self.context(**kwargs))

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - the parameters of the route
        """What the template needs beside what all pages have; `kwargs` are the parameters of the route."""
        return {}

    def heading(self) -> str:
        """The page's title, which may name its object."""
        return self.title

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        """The pages between the overview and this one."""
        return ()

    def page(self, request: HttpRequest, context: Mapping[str, object], *, status: int = 200) -> HttpResponse:
        """The page with this context."""
        return render(request, self.template_name, {**self._base_context(request), **context}, status=status)

    @staticmethod
    def sections(current: str) -> list[tuple[str, str, Literal["page", ""]]]:
        """The navigation: words, address, and whether it is the current page."""
        shown = [name for name in SECTIONS if OPTIONAL_SECTIONS.get(name, lambda: True)()]
        found = [(SECTIONS[name], address(name), name) for name in shown]
        return [(words, where, "page" if name == current else "") for words, where, name in found if where]

    @property
    def may_operate(self) -> bool:
        """Whether the user may act, too."""
        return self.request.user.has_perm(OPERATE)

    def _base_context(self, request: HttpRequest) -> dict[str, object]:
        return {
            **mounted_admin().each_context(request),
            "sections": self.sections(self.section),
            "breadcrumbs": [("Console", address("overview")), *self.breadcrumbs()],
            "may_operate": self.may_operate,
            **self._page_context(request),
        }

    def _page_context(self, request: HttpRequest) -> dict[str, object]:
        """The title, and whether the page is live: of all pages."""
        is_on = self.is_live and request.GET.get("live") != "off"
        return {
            "base_template": self.base_template,
            "is_nav_sidebar_enabled": False,  # these pages have their own navigation
            "title": self.heading(),
            "live": is_on,
            "is_live": self.is_live,
            "live_address": request.get_full_path(),
            "other_address": _other_address(request, is_on=is_on),
        }

    def _refusal(self, request: HttpRequest) -> HttpResponse | None:
        """The response to a client that may not see the page; None for others."""
        user = request.user
        if user.is_authenticated and user.is_active and user.is_staff and user.has_perm(self.permission):
            return self._too_long(request)
        if "HX-Request" in request.headers:  # of an open page: it is loaded anew, and leads to the form
            return HttpResponse(status=403, headers={"HX-Refresh": "true"})
        if not user.is_authenticated:
            query = urlencode({"next": request.get_full_path()})
            return HttpResponseRedirect(f"{reverse('admin:login')}?{query}")
        right = "Only staff may see the console."
        if user.is_staff:
            right = f"This page needs the permission {self.permission}. Administrators give it to accounts."
        return self._error_page(request, 403, "Not allowed", right)

    def _too_long(self, request: HttpRequest) -> HttpResponse | None:
        """The response to a request with a value that no form of the console takes; None for others."""
        for name, values in (*request.GET.lists(), *request.POST.lists()):
            longest = LONGER_VALUES.get(name, MAX_VALUE)
            if len(name) > MAX_VALUE or any(len(value) > longest for value in values):
                sentence = f"The parameter {plain(name)} is longer than {longest:,} characters."
                return self._error_page(request, 400, "Too long", sentence)
        return None

    def _error_page(self, request: HttpRequest, status: int, title: str, sentence: str) -> HttpResponse:
        admin = mounted_admin().each_context(request) | {"is_nav_sidebar_enabled": False}
        own = {"title": title, "sentence": sentence, "is_forbidden": status == 403}
        own["sections"] = self.sections(self.section) if status != 403 else []
        return render(request, "lockstep/console/error.html", admin | own, status=status)


@dataclass(frozen=True, slots=True)
class ActionPreview:
    """What an action would do, as sentences. One that would do nothing cannot be confirmed."""

    sentences: Sequence[str]
    does_something: bool = True


class ActionView(ConsoleView):
    """An operation in three steps: the form, its preview, and the operation, which is done once and recorded.

    A GET shows the form, with valid parameters the preview as well. A POST with `step=preview` previews; any other
    does it and redirects to `done_address` with its outcome as a message.
    """

    template_name = "lockstep/console/action.html"
    permission = OPERATE
    http_method_names = ["get", "head", "post"]
    kind: ClassVar[str]  # of the recorded operation
    by_owner: ClassVar[bool] = False  # of the recorded operation
    verb: ClassVar[str]  # the words of the button
    form_class: ClassVar[type[forms.Form]] = forms.Form
    is_dangerous: ClassVar[bool] = False
    # What an operation may be refused with; nothing is changed then, and the reason is a message.
    refusals: ClassVar[tuple[type[Exception], ...]] = (
        WrongState,
        StillDeclared,
        UnknownMessage,
        NotInLog,
        OtherOperation,
    )

    def subscription(self) -> str:
        """The subscription that it concerns."""
        return str(self.kwargs.get("name", ""))

    def make_form(self, data: Mapping[str, Any] | None = None, **options: Any) -> forms.Form:  # noqa: ANN401 - of a form
        """The form with these values; unbound for None."""
        return self.form_class(data, **options)

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        """What the operation would do with the form's values."""
        raise NotImplementedError

    def perform(self, parameters: Mapping[str, Any]) -> str:
        """Carries out the operation in the surrounding transaction. Returns what it did, as a sentence."""
        raise NotImplementedError

    def recorded(self, parameters: Mapping[str, Any]) -> Mapping[str, object]:
        """What the operation's record keeps of the form's values."""
        return parameters

    def done_address(self) -> str:
        """Where the operator goes afterwards."""
        return address("subscription", self.subscription()) or address("overview")

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        # A form without fields, and one whose fields came with the address, can be previewed at once.
        has_values = not self.form_class.base_fields or any(name in request.GET for name in self.form_class.base_fields)
        return self._show(request, self.make_form(request.GET if has_values else None))

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        form = self.make_form(request.POST)
        if not form.is_valid() or request.POST.get("step") == "preview":
            return self._show(request, form)
        try:
            key = UUID(request.POST.get("key", ""))
        except ValueError:
            return self._show(request, form)
        try:
            with self._rights_locked(request.user.pk):
                level, outcome = messages.SUCCESS, self._carry_out(request, form, key)
        except self.refusals as error:
            level, outcome = messages.ERROR, str(error)
        messages.add_message(request, level, outcome)
        return self.finished(request)

    def finished(self, request: HttpRequest) -> HttpResponse:
        """The response after the operation was carried out or refused."""
        return HttpResponseRedirect(self.done_address())

    @contextmanager
    def _rights_locked(self, user: object) -> Iterator[None]:
        """A transaction that locks the account, and in which it still has the permission and its session.

        Raises PermissionDenied.
        """
        model = get_user_model()
        alias = router.db_for_write(model)
        with transaction.atomic(using=alias):
            accounts = model._default_manager.using(alias).select_for_update(no_key=True, of=("self",))
            account: Any = accounts.filter(pk=user).first()
            if account is None or not self.is_allowed(account) or not _is_session_open(self.request):
                raise PermissionDenied("Your account may not do this any more. Nothing was changed.")
            yield

    def is_allowed(self, account: Any) -> bool:  # noqa: ANN401 - the project's user model
        """Whether an account, as it is at the time of the operation, may carry it out."""
        return bool(account.is_active and account.is_staff and account.has_perm(self.permission))

    def _carry_out(self, request: HttpRequest, form: forms.Form, key: UUID) -> str:
        return carry_out(
            lambda: self.perform(form.cleaned_data),
            key=key,
            actor=f"user:{request.user.pk}",
            kind=self.kind,
            subscription=self.subscription(),
            parameters=self.recorded(form.cleaned_data),
            by_owner=self.by_owner,
        )

    def _show(self, request: HttpRequest, form: forms.Form) -> HttpResponse:
        context: dict[str, object] = {"form": form, "verb": self.verb, "is_dangerous": self.is_dangerous}
        context |= {"cancel_address": self.done_address(), "subscription": self.subscription()}
        if not form.is_bound or not form.is_valid():
            return self.page(request, context, status=400 if form.is_bound and request.method == "POST" else 200)
        try:
            preview = self.preview(form.cleaned_data)
        except WrongState as error:
            preview = ActionPreview([str(error)], does_something=False)
        confirmed = self.make_form(form.data, auto_id="confirmed_%s")  # the same values, hidden; ids are unique
        return self.page(request, context | {"preview": preview, "confirmed": confirmed, "key": uuid4()})


def _is_session_open(request: HttpRequest) -> bool:
    """Whether the request's session, read again, was not ended: by signing out, or by another password.

    True without a session: a project may identify users by other means.
    """
    if SESSION_KEY not in getattr(request, "session", ()):
        return True
    stored = type(request.session)(request.session.session_key)
    return SESSION_KEY in stored and get_user(request).is_authenticated


def mounted_admin() -> AdminSite:
    """The admin that the project's URLs lead to; Django's own site where it cannot be seen."""
    mounted: AdminSite = getattr(resolve(reverse("admin:index")).func, "admin_site", site)
    return mounted


def _unavailable_page(error: DatabaseError | InterfaceError) -> HttpResponse:
    """The page while the database does not answer: nothing of it is read from there, not even the user."""
    if is_read_only(cause_of(error)):
        sentence = "The database is read-only for now. Nothing was changed: try again later."
    else:
        sentence = "The database does not answer, or takes too long. Try again."
    return HttpResponse(render_to_string("lockstep/console/unavailable.html", {"sentence": sentence}), status=503)


def _other_address(request: HttpRequest, *, is_on: bool) -> str:
    """The address of this page with its liveness switched."""
    query = request.GET.copy()
    query.pop("live", None)
    if is_on:
        query["live"] = "off"
    path = escape_uri_path(request.path)  # the key of an object may have a question mark
    return f"{path}?{query.urlencode()}" if query else path
