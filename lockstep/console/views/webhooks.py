"""Webhook endpoints of all users, for operators; views/own_webhooks.py has the same pages for their owners."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode

from lockstep.console.explanations import sentences
from lockstep.console.reads import subscriptions, webhooks
from lockstep.console.reads.actors import Actor, read_actors
from lockstep.console.reads.webhooks import EndpointRow
from lockstep.console.views.base import SECTIONS, ActionPreview, ActionView, Breadcrumb, ConsoleView
from lockstep.console.words import clock
from lockstep.delivery.operations import UnknownSubscription, WrongState
from lockstep.rest.errors import DomainError
from lockstep.webhooks import actions
from lockstep.webhooks.models import FAMILY, Endpoint, EndpointQuerySet

LISTED = 50  # endpoints of a page
NAMED = 20  # attempts of a page
OFF = "It is switched off and gets nothing: switch it on first."
LOST = "Its subscription was removed by an operator, and it gets nothing: switch it on anew first."


class EndpointPage(ConsoleView):
    """A page about endpoints. A subclass says whose they are, where their pages are, and whether URLs are shown."""

    section = "webhooks"
    namespace: ClassVar[str] = "lockstep_console"
    prefix: ClassVar[str] = "webhook"  # of the names of routes
    shows_urls: ClassVar[bool] = False

    def endpoints(self) -> EndpointQuerySet:
        """The endpoints that the user may see."""
        return webhooks.endpoints()

    @cached_property
    def row(self) -> EndpointRow:
        """The endpoint of the route. Raises Http404."""
        endpoint = self.endpoints().filter(pk=self.kwargs["key"]).first()
        if endpoint is None:
            raise Http404("There is no such endpoint.")
        return webhooks.rows_of([endpoint], shows_urls=self.shows_urls)[0]

    @property
    def endpoint(self) -> Endpoint:
        """The same without what belongs to it. Raises Http404."""
        return self.row.endpoint

    def list_address(self) -> str:
        """The list of endpoints."""
        return reverse(f"{self.namespace}:webhooks")

    def page_address(self, action: str = "", **query: str) -> str:
        """The page of the route's endpoint, or of an action on it."""
        name = f"{self.namespace}:{self.prefix}{f'_{action}' if action else ''}"
        path = reverse(name, args=[self.kwargs["key"]])
        return f"{path}?{urlencode(query)}" if query else path

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        return [(SECTIONS["webhooks"], self.list_address())]


class ListForm(forms.Form):
    """The filters of the list."""

    owner = forms.CharField(required=False, max_length=200, help_text="The username, or the key of the account.")
    host = forms.CharField(label="Host contains", required=False, max_length=253)
    state = forms.ChoiceField(
        required=False, choices=[("", "any state"), ("on", "on"), ("failing", "failing"), ("off", "switched off")]
    )
    before = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def query(self, **others: object) -> str:
        """The parameters of the list with these others; empty ones are left out."""
        given = {name: value for name, value in self.cleaned_data.items() if name != "before"} | others
        return urlencode({name: str(value) for name, value in given.items() if value})


class EndpointsView(EndpointPage):
    """The endpoints of all users, newest first."""

    template_name = "lockstep/console/webhooks.html"
    title = "Webhooks"

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        return ()

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - the parameters of the route
        form = ListForm(self.request.GET)
        if not form.is_valid():
            return {"form": form, "rows": []}
        found = list(webhooks.chosen_endpoints(self.endpoints(), **self.chosen(form))[: LISTED + 1])
        rows = webhooks.rows_of(found[:LISTED], shows_urls=self.shows_urls)
        owners = self.owners(rows)
        return {
            "form": form,
            "rows": [(row, owners.get(f"user:{row.endpoint.owner_id}"), self._address(row)) for row in rows],
            "older_query": form.query(before=found[LISTED - 1].pk) if len(found) > LISTED else "",
            "newest_query": form.query() if form.cleaned_data["before"] else None,
        }

    def chosen(self, form: ListForm) -> Mapping[str, Any]:
        """The selection of the form."""
        return form.cleaned_data

    def owners(self, rows: Sequence[EndpointRow]) -> Mapping[str, Actor]:
        """The owners of these endpoints by name, where the page shows them."""
        return read_actors(f"user:{row.endpoint.owner_id}" for row in rows)

    def _address(self, row: EndpointRow) -> str:
        return reverse(f"{self.namespace}:{self.prefix}", args=[row.endpoint.pk])


class AttemptsForm(forms.Form):
    """Which attempts the page of an endpoint lists."""

    failed = forms.BooleanField(required=False)
    before = forms.UUIDField(required=False)


class EndpointView(EndpointPage):
    """One endpoint: its state and why, and what was sent to it with what its receiver answered."""

    template_name = "lockstep/console/webhook.html"
    title = "Endpoint"
    is_live = True

    def heading(self) -> str:
        return self.row.url

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - the parameters of the route
        form = AttemptsForm(self.request.GET)
        if not form.is_valid():
            raise Http404("There is no such page.")
        is_failed, before = form.cleaned_data["failed"], form.cleaned_data["before"]
        attempts = webhooks.attempts_of(
            self.endpoint, shows_urls=self.shows_urls, before=before, is_failed=is_failed, limit=NAMED + 1
        )
        older = {"before": str(attempts[NAMED - 1].shown["id"])} if len(attempts) > NAMED else None
        only = {"failed": "on"} if is_failed else {}
        return {
            "row": self.row,
            "endpoint": self.endpoint,
            "attempts": attempts[:NAMED],
            "resend_address": "" if self.endpoint.disabled or not self.may_operate else self.page_address("resend"),
            "actions": self.actions() if self.may_operate else [],
            "is_failed": is_failed,
            "all_address": self.page_address(),
            "failed_address": self.page_address(failed="on"),
            "newest_address": self.page_address(**only) if before else "",
            "older_address": self.page_address(**only | older) if older else "",
            **self.particulars(),
        }

    def actions(self) -> list[tuple[str, str]]:
        """What the user may do with the endpoint: words and address."""
        off = ("Switch off…", self.page_address("off"))
        if self.endpoint.disabled:
            return [("Switch on…", self.page_address("on"))]
        if self.row.subscription is None:
            return [("Switch on anew…", self.page_address("on")), off]
        return [("Send a test…", self.page_address("test")), off]

    def particulars(self) -> dict[str, object]:
        """What only operators see: the owner by name, and the subscription with what waits in it."""
        owner = f"user:{self.endpoint.owner_id}"
        try:
            backlog = sentences(subscriptions.state_of(self.endpoint.subscription))
        except UnknownSubscription:
            backlog = []
        return {"owner": read_actors([owner])[owner], "is_staff_page": True, "backlog": backlog}


class EndpointAction(EndpointPage, ActionView):
    """An operation on the endpoint of the route."""

    template_name = "lockstep/console/webhook_action.html"
    refusals = (*ActionView.refusals, UnknownSubscription, DomainError)
    explanation: ClassVar[str]

    @property
    def actor(self) -> str:
        """Who acts."""
        return f"user:{self.request.user.pk}"

    def subscription(self) -> str:
        return f"{FAMILY}:{self.kwargs['key']}"

    def done_address(self) -> str:
        return self.page_address()

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        return [*super().breadcrumbs(), (self.row.url, self.page_address())]

    def page(self, request: HttpRequest, context: Mapping[str, object], *, status: int = 200) -> HttpResponse:
        own = {"row": self.subject(), "explanation": self.explanation}
        return super().page(request, own | dict(context), status=status)

    def subject(self) -> EndpointRow | None:
        """The endpoint with its state, for the page; None where the operation makes one."""
        return self.row

    def refuse_unless_sending(self) -> None:
        """Raises WrongState for an endpoint that gets nothing."""
        if self.endpoint.disabled:
            raise WrongState(OFF)
        if self.row.subscription is None:
            raise WrongState(LOST)


class TestView(EndpointAction):
    """Sends a test event."""

    title = verb = "Send a test"
    kind = "webhook-test"
    explanation = (
        "A test is sent like any other message: signed, recorded below as an attempt, and repeated if it fails."
    )

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        self.refuse_unless_sending()
        return ActionPreview(
            [f"A message of the type webhooks.test.created is sent to {self.row.url}, and to no other endpoint."]
        )

    def perform(self, parameters: Mapping[str, Any]) -> str:
        actions.send_test(actor=self.actor, endpoint=self.endpoint)
        return "The test will be sent: its attempt appears below."


class ResendForm(forms.Form):
    """The message to send again."""

    message_id = forms.UUIDField(label="Message", help_text="The value of its header webhook-id.")


class ResendView(EndpointAction):
    """Sends one message again."""

    title = verb = "Send a message again"
    kind = "webhook-resend"
    form_class = ResendForm
    explanation = (
        "A message is sent again with the same id, whether it was delivered or not. Receivers that know the id can"
        " ignore it. The rights of the endpoint's owner are checked again."
    )

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        self.refuse_unless_sending()
        message: UUID = parameters["message_id"]
        attempt = webhooks.last_attempt(self.endpoint, message)
        if attempt is None:
            raise WrongState(f"No attempt of message {message} is still kept.")
        result = "was delivered" if attempt.failure is None else f"failed ({attempt.cause or attempt.failure})"
        sent_as = (attempt.receipt or {}).get("type")
        return ActionPreview(
            [
                f"Message {message} of the type {sent_as} is sent to {self.row.url} again.",
                f"Its latest attempt, number {attempt.number}, {result} at {clock(attempt.began, attempt.began)}.",
            ]
        )

    def perform(self, parameters: Mapping[str, Any]) -> str:
        message: UUID = parameters["message_id"]
        actions.redeliver_message(actor=self.actor, endpoint=self.endpoint, message_id=message)
        return f"Message {message} will be sent again: its attempt appears below."


class ReasonForm(forms.Form):
    """Why the endpoint is switched off."""

    reason = forms.CharField(max_length=500, help_text="Its owner reads it.")


class SwitchOffView(EndpointAction):
    """Switches the endpoint off."""

    title = verb = "Switch off"
    kind = "webhook-off"
    form_class: ClassVar[type[forms.Form]] = ReasonForm
    is_dangerous = True
    explanation = "An endpoint that is switched off gets nothing, and nothing is kept for it."

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        if self.endpoint.disabled:
            raise WrongState("It is switched off already: nothing would change.")
        return ActionPreview(
            [
                "Messages that wait for it are removed, and changes from now on are not kept for it.",
                *self.remarks(parameters),
            ]
        )

    def remarks(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        """What only operators need to know."""
        return [
            f"Its owner reads: {self.reason(parameters)}.",
            "Its owner can switch it on again. To hold it back against that, pause its subscription.",
        ]

    def reason(self, parameters: Mapping[str, Any]) -> str:
        """Why it is switched off, as its pages and the API say."""
        return f"switched off by an operator: {str(parameters['reason']).rstrip('. ')}"

    def perform(self, parameters: Mapping[str, Any]) -> str:
        is_done = actions.switch_off(actor=self.actor, endpoint=self.endpoint, reason=self.reason(parameters))
        return "Switched off." if is_done else "It was switched off already: nothing has changed."


class SwitchOnView(EndpointAction):
    """Switches the endpoint on."""

    title = verb = "Switch on"
    kind = "webhook-on"
    explanation = "An endpoint that is switched on gets what changes from then on, not what changed while it was off."

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        if not self.endpoint.disabled and self.row.subscription:
            raise WrongState("It is on already: nothing would change.")
        return ActionPreview(
            [f"Changes from now on are sent to {self.row.url}.", "Its failures until now are forgotten."]
        )

    def perform(self, parameters: Mapping[str, Any]) -> str:
        actions.update_endpoint(actor=self.actor, endpoint=self.endpoint, active=True)
        return "Switched on: it gets what changes from now on."
