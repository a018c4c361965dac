"""OAuth clients and webhook endpoints in the admin: no secret is shown, searched or filtered by."""

from typing import Any
from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from oauth2_provider.models import Application

from backend.accounts.models import Session
from backend.entities.admin_lists import BoundedPaginator
from backend.entities.admin_site import ReadOnly, admin_site
from lockstep.console.admin import ChangeHistory
from lockstep.webhooks import actions as webhooks
from lockstep.webhooks.models import Endpoint

OPERATE = "lockstep.operate_subscription"  # the right to operate in the console
MAX_SESSIONS = 1000  # of a client that is deleted with them in one request
OFF = "switched off by an operator, in the admin"


class WithoutSecrets(ReadOnly, ChangeHistory):
    """Pages to view. Their addresses take no filter by a column: `?secret__startswith=a` would reveal it bit by bit."""

    paginator = BoundedPaginator
    change_list_template = "admin/entity/change_list.html"
    view_on_site = False  # the pages of OAuth clients outside the admin are not mounted
    show_full_result_count = False
    list_per_page = 50
    ordering = ("-id",)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return False


@admin.register(Application, site=admin_site)
class ClientAdmin(WithoutSecrets):
    """OAuth clients. `manage.py createapplication` creates them, and shows a secret once."""

    fields = ("name", "client_id", "user", "client_type", "authorization_grant_type", "created", "updated")
    list_display = ("__str__", "client_id", "client_type", "authorization_grant_type", "user", "created")
    list_select_related = ("user",)
    search_fields = ("client_id__exact", "user__username__exact")
    search_help_text = "The whole id of the client, or the whole username of its user."
    actions = ("revoke_tokens",)

    def has_delete_permission(self, request: HttpRequest, obj: Application | None = None) -> bool:
        return bool(request.user.has_perm("oauth2_provider.delete_application"))

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whether the user may revoke the tokens of clients."""
        return bool(request.user.has_perm("oauth2_provider.change_application"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Refuses a selection of keys that are no numbers, at which Django's look-up fails."""
        if not all(key.isdecimal() for key in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest("The selection has an invalid key.")
        return super().changelist_view(request, extra_context)

    @admin.action(description="Revoke all tokens of the selected clients", permissions=["revoke"])
    def revoke_tokens(self, request: HttpRequest, queryset: QuerySet[Application]) -> None:
        """Closes the sessions of the clients: their tokens are refused from now on."""
        for client in queryset:
            closed = Session.objects.filter(client=client).revoke()
            self.log_change(request, client, f"Revoked the tokens of {closed:,} sessions.")
            messages.success(request, f"{client}: the tokens of {closed:,} sessions are revoked.")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:  # noqa: ANN401 - the base's lists
        """The clients. One with many sessions is protected: all of them would be deleted in one request."""
        chosen = list(objs)
        busy = [client for client in chosen if _has_many_sessions(client)]
        protected = [f"{client}: it has more than {MAX_SESSIONS:,} sessions. Revoke its tokens." for client in busy]
        forbidden = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        listed = [f"{client}: its users are signed out of it." for client in chosen]
        return listed, {self.opts.verbose_name_plural: len(chosen)}, forbidden, protected


@admin.register(Endpoint, site=admin_site)
class EndpointAdmin(WithoutSecrets):
    """Webhook endpoints. Of their URLs the host alone is shown: paths and parameters are often secrets."""

    fields = ("id", "owner", "host", "description", "events", "state", "failing_since", "created", "updated", "console")
    list_display = ("id", "owner", "host", "description", "state", "created")
    list_select_related = ("owner",)
    search_fields = ("owner__username__exact",)
    search_help_text = "The whole username of the owner."
    actions = ("switch_off",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        return super().get_queryset(request).filter(deleted=None)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether the user may operate endpoints here, as in the console."""
        return bool(request.user.has_perm(OPERATE))

    @admin.display(description="host")
    def host(self, endpoint: Endpoint) -> str:
        """The host of the URL."""
        return urlsplit(endpoint.url).hostname or ""

    @admin.display(description="state")
    def state(self, endpoint: Endpoint) -> str:
        """On, or since when it is off and why."""
        if not endpoint.disabled:
            return "on"
        return f"off since {endpoint.disabled:%Y-%m-%d %H:%M}: {endpoint.reason}"

    @admin.display(description="console")
    def console(self, endpoint: Endpoint) -> str:
        """A link to its page in the console, which has its attempts and its other operations."""
        page = reverse("lockstep_console:webhook", args=[endpoint.pk])
        return format_html('<a href="{}">Attempts and operations</a>', page)

    @admin.action(description="Switch off the selected endpoints", permissions=["operate"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        """Disables the endpoints: nothing is sent to them, or kept for them, until their owners switch them on."""
        switched = 0
        for endpoint in queryset.order_by("pk"):
            if webhooks.switch_off(actor=f"user:{request.user.pk}", endpoint=endpoint, reason=OFF):
                self.log_change(request, endpoint, "Switched off.")
                switched += 1
        messages.success(request, f"Switched off: {switched:,}.")


def _has_many_sessions(client: Application) -> bool:
    return Session.objects.filter(client=client)[: MAX_SESSIONS + 1].count() > MAX_SESSIONS
