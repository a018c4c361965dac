"""Webhook endpoints for their owners: any user who is signed in, with the rights, limits and rules of the API.

Those of others do not exist here. A new secret is shown once, in the response to its creation.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib.auth.views import LogoutView, redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from lockstep.changes.readers import event_types
from lockstep.conf import lockstep_settings
from lockstep.console.reads.actors import Actor
from lockstep.console.reads.webhooks import EndpointRow
from lockstep.console.views import webhooks as shared
from lockstep.console.views.base import SECTIONS, ActionPreview, Breadcrumb, mounted_admin
from lockstep.console.views.webhooks import EndpointAction, EndpointPage, ListForm
from lockstep.delivery.operations import WrongState
from lockstep.delivery.reports import ReplayResult
from lockstep.rest.concurrency import Match
from lockstep.rest.rate_limit import limiter
from lockstep.rest.responses import etag
from lockstep.rest.users import AnyUser
from lockstep.webhooks import actions
from lockstep.webhooks.actions import SWITCHED_OFF
from lockstep.webhooks.models import EndpointQuerySet
from lockstep.webhooks.serializers import EndpointSerializer


class OwnerPage(EndpointPage):
    """A page for the owner of endpoints: a user who is signed in. It has the limits of the API."""

    base_template = "lockstep/console/owner_base.html"
    namespace = "lockstep_owners"
    prefix = "endpoint"
    shows_urls = True

    def endpoints(self) -> EndpointQuerySet:
        return super().endpoints().of(self.request.user)

    @property
    def may_operate(self) -> bool:
        """True: all endpoints here are the user's own."""
        return True

    def _base_context(self, request: HttpRequest) -> dict[str, object]:
        return {**self._frame(), "breadcrumbs": self.breadcrumbs(), "may_operate": True, **self._page_context(request)}

    def _frame(self) -> dict[str, object]:
        """What the base template needs of every page, errors included."""
        admin = mounted_admin()
        return {
            "site_title": admin.site_title,
            "site_header": admin.site_header,
            "site_url": admin.site_url or "/",
            "sign_out_address": reverse(f"{self.namespace}:sign_out"),
        }

    def _refusal(self, request: HttpRequest) -> HttpResponse | None:
        """The form for signing in, for clients that are not signed in; an error beyond the API's limit of requests."""
        if not (request.user.is_authenticated and request.user.is_active):
            if "HX-Request" in request.headers:  # of an open page: it is loaded anew, and leads to the form
                return HttpResponse(status=403, headers={"HX-Refresh": "true"})
            return redirect_to_login(request.get_full_path())
        quota = limiter.count(f"user:{request.user.pk}")
        if quota.remaining >= 0:
            return self._too_long(request)
        sentence = f"You have sent too many requests. Try again in {quota.reset} seconds."
        refused = self._error_page(request, 429, "Too many requests", sentence)
        refused.headers["Retry-After"] = str(quota.reset)
        return refused

    def _error_page(self, request: HttpRequest, status: int, title: str, sentence: str) -> HttpResponse:
        own = {"title": title, "sentence": sentence, "base_template": self.base_template}
        trail = {"breadcrumbs": [(SECTIONS["webhooks"], self.list_address())]}
        return render(request, "lockstep/console/error.html", {**self._frame(), **own, **trail}, status=status)


class OwnerAction(OwnerPage, EndpointAction):
    """An operation of the owner on the endpoint of the route."""

    by_owner = True

    def is_allowed(self, account: AnyUser) -> bool:
        return bool(account.is_active)


class SignOutView(LogoutView):
    """Signs out, and leads to the form for signing in."""

    def get_success_url(self) -> str:
        return redirect_to_login(reverse("lockstep_owners:webhooks")).url


class OwnEndpointsView(OwnerPage, shared.EndpointsView):
    """The user's endpoints, newest first."""

    def chosen(self, form: ListForm) -> Mapping[str, Any]:
        return {"before": form.cleaned_data["before"]}

    def owners(self, rows: Sequence[EndpointRow]) -> Mapping[str, Actor]:
        return {}

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - the parameters of the route
        most = lockstep_settings.WEBHOOKS_PER_USER
        new = reverse(f"{self.namespace}:new")
        return {**super().context(**kwargs), "is_own": True, "new_address": new, "most": most}


class OwnEndpointView(OwnerPage, shared.EndpointView):
    """One endpoint of the user's."""

    def actions(self) -> list[tuple[str, str]]:
        others = [("Change…", "change"), ("Rotate the secret…", "rotate"), ("Delete…", "delete")]
        if not self.endpoint.disabled and self.row.subscription:
            others.insert(0, ("Send what was given up…", "redeliver"))
        return [*super().actions(), *((words, self.page_address(action)) for words, action in others)]

    def particulars(self) -> dict[str, object]:
        return {"is_own": True}


class EndpointForm(forms.Form):
    """An endpoint's values, which the API's serializer validates."""

    url = forms.CharField(label="URL", help_text="Where messages are sent to, such as https://example.com/hook.")
    events = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Types of events, one a line: posts.post.created, posts.post.*, posts.* or *.",
    )
    description = forms.CharField(required=False, help_text="For yourself.")
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *arguments: Any, user: AnyUser = None, **options: Any) -> None:  # noqa: ANN401 - those of a form
        super().__init__(*arguments, **options)
        self.user = user

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if self.errors:
            return found
        values = {**found, "events": found["events"].split()}
        del values["version"]
        checked = EndpointSerializer(data=values, context={"user": self.user})
        if checked.is_valid():
            return {**found, **checked.validated_data}
        for name, errors in checked.errors.items():
            for sentence in _sentences(errors):
                self.add_error(name if name in self.fields else None, sentence)
        return found


def _sentences(errors: object) -> Iterator[str]:
    """The messages of a serializer's errors, which are nested for a list."""
    if isinstance(errors, Mapping):
        errors = list(errors.values())
    if not isinstance(errors, list):
        yield str(errors)
        return
    for error in errors:
        yield from _sentences(error)


class FormAction(OwnerAction):
    """An operation with the endpoint's form."""

    form_class: ClassVar[type[forms.Form]] = EndpointForm
    template_name = "lockstep/console/webhook_form.html"

    def make_form(self, data: Mapping[str, Any] | None = None, **options: Any) -> forms.Form:  # noqa: ANN401 - of a form
        return super().make_form(data, user=self.request.user, **options)

    def recorded(self, parameters: Mapping[str, Any]) -> Mapping[str, object]:
        """All but the URL, whose path may be a secret."""
        return {name: parameters[name] for name in ("events", "description") if name in parameters}

    def page(self, request: HttpRequest, context: Mapping[str, object], *, status: int = 200) -> HttpResponse:
        is_staff = bool(getattr(request.user, "is_staff", False))
        return super().page(request, {"event_types": event_types(is_staff=is_staff), **context}, status=status)


class SecretAction(OwnerAction):
    """An operation that creates a secret. Its response shows it, once."""

    created: actions.Created | None = None

    def finished(self, request: HttpRequest) -> HttpResponse:
        if self.created is None:  # refused, or carried out by an earlier request
            return super().finished(request)
        endpoint = self.created.endpoint
        own = {
            **self._base_context(request),
            "title": "The secret of the endpoint",
            "secret": self.created.secret,
            "url": endpoint.url,
            "endpoint_address": reverse(f"{self.namespace}:{self.prefix}", args=[endpoint.pk]),
            "is_new": not endpoint.old_secrets,
            "hours": lockstep_settings.WEBHOOK_OVERLAP_HOURS,
        }
        return render(request, "lockstep/console/webhook_secret.html", own)


class CreateView(SecretAction, FormAction):
    """Creates an endpoint."""

    title = verb = "Create an endpoint"
    kind = "webhook-create"
    explanation = "An endpoint is a URL of yours, which is sent the changes that you may read, from its creation on."

    def subscription(self) -> str:
        return ""

    def done_address(self) -> str:
        return self.list_address()

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        return OwnerPage.breadcrumbs(self)

    def subject(self) -> None:
        return None

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        most = lockstep_settings.WEBHOOKS_PER_USER
        if self.endpoints().count() >= most:
            raise WrongState(f"You have {most} endpoints already. Delete one first.")
        return ActionPreview(
            [
                f"Changes from now on are sent to {parameters['url']}.",
                f"Those of the types: {', '.join(parameters['events'])}.",
                "Its secret is shown once, on the next page.",
            ]
        )

    def perform(self, parameters: Mapping[str, Any]) -> str:
        values = {name: parameters[name] for name in ("url", "events", "description")}
        self.created = actions.create_endpoint(actor=self.actor, owner=self.request.user, **values)
        return f"The endpoint {self.created.endpoint.pk} is created."


class ChangeView(FormAction):
    """Changes an endpoint."""

    title = verb = "Change the endpoint"
    kind = "webhook-change"
    explanation = "Messages that wait are sent to the new URL as well, if their types are among the new ones."

    def make_form(self, data: Mapping[str, Any] | None = None, **options: Any) -> forms.Form:  # noqa: ANN401 - of a form
        endpoint = self.endpoint
        now = {"url": endpoint.url, "events": "\n".join(endpoint.events), "description": endpoint.description}
        return super().make_form(data, initial={**now, "version": endpoint.version}, **options)

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        words = {"url": "Its URL", "events": "Its types", "description": "Its description"}
        found = [
            f"{words[name]} will be {_text(value)}, instead of {_text(getattr(self.endpoint, name))}."
            for name, value in self._changed(parameters).items()
        ]
        return ActionPreview(found or ["Nothing differs: nothing would change."], does_something=bool(found))

    def perform(self, parameters: Mapping[str, Any]) -> str:
        match = Match(frozenset({etag(parameters["version"])}))
        values = self._changed(parameters)
        actions.update_endpoint(actor=self.actor, endpoint=self.endpoint, match=match, **values)
        return "The endpoint is changed."

    def _changed(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: parameters.get(name, "") for name in ("url", "events", "description")}
        return {name: value for name, value in given.items() if value != getattr(self.endpoint, name)}


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value) or "empty"


class RotateView(SecretAction):
    """Replaces the secret."""

    title = verb = "Rotate the secret"
    kind = "webhook-rotate"
    is_dangerous = True
    explanation = "A new secret replaces the one that signs now. Do this when others may have read it."

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        hours = lockstep_settings.WEBHOOK_OVERLAP_HOURS
        return ActionPreview(
            [
                "The new secret is shown once, on the next page.",
                f"For {hours} hours the old one signs as well, so that your receiver can change over."
                if hours
                else "The old one signs no more from then on.",
            ]
        )

    def perform(self, parameters: Mapping[str, Any]) -> str:
        self.created = actions.rotate_secret(actor=self.actor, endpoint=self.endpoint)
        return "The secret is replaced. The new one was shown once."


class DeleteView(OwnerAction):
    """Deletes an endpoint."""

    title = verb = "Delete the endpoint"
    kind = "webhook-delete"
    is_dangerous = True
    explanation = "A deleted endpoint cannot be restored. To stop it for a while, switch it off."

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        return ActionPreview(
            [f"Nothing is sent to {self.endpoint.url} any more.", "Messages that wait, and its attempts, are removed."]
        )

    def perform(self, parameters: Mapping[str, Any]) -> str:
        actions.delete_endpoint(actor=self.actor, endpoint=self.endpoint)
        return "The endpoint is deleted."

    def done_address(self) -> str:
        return self.page_address() if self.request.method in ("GET", "HEAD") else self.list_address()


class RedeliverView(OwnerAction):
    """Sends all that was given up again."""

    title = verb = "Send what was given up"
    kind = "webhook-redeliver"
    explanation = (
        "A message that its receiver rejected, or that failed for too long, is given up. It can be sent again."
    )

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        self.refuse_unless_sending()
        return ActionPreview(["All messages that were given up are sent again, each with its id, oldest first."])

    def perform(self, parameters: Mapping[str, Any]) -> str:
        done: ReplayResult = actions.redeliver_dead_letters(actor=self.actor, endpoint=self.endpoint)
        gone = " Some are too old to be sent again." if done.not_in_log else ""
        if not done.objects and not done.not_fanned_out:
            return f"{gone.strip() or 'None was given up.'} Nothing is sent."
        return f"The messages that you may read will be sent.{gone}"


class OwnTestView(OwnerAction, shared.TestView):
    """Sends a test event."""


class OwnResendView(OwnerAction, shared.ResendView):
    """Sends one message again."""


class OwnSwitchOnView(OwnerAction, shared.SwitchOnView):
    """Switches the endpoint on."""


class OwnSwitchOffView(OwnerAction, shared.SwitchOffView):
    """Switches the endpoint off."""

    form_class = forms.Form

    def remarks(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        return ["You can switch it on again."]

    def reason(self, parameters: Mapping[str, Any]) -> str:
        return SWITCHED_OFF
