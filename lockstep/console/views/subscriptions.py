"""Subscriptions: the list, one of them, and what operators do with it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from django import forms
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.http import urlencode

from lockstep.changes.commands import counted
from lockstep.conf import lockstep_settings
from lockstep.console.explanations import amount, sentences
from lockstep.console.links import address
from lockstep.console.reads import samples
from lockstep.console.reads import subscriptions as reads
from lockstep.console.views.base import MAX_VALUE, SECTIONS, ActionPreview, ActionView, Breadcrumb, ConsoleView
from lockstep.console.words import clock, plain
from lockstep.delivery import operations
from lockstep.delivery.operations import UnknownSubscription, WrongState
from lockstep.delivery.subscriptions import registered_families

LISTED = 50  # subscriptions of a page
NAMED = 20  # failing objects and attempts that are named


class ListForm(forms.Form):
    """The filters of the list."""

    STATES = [
        ("", "any state"),
        ("active", "active"),
        ("silent", "does not answer"),
        ("paused", "paused"),
        ("full", "full"),
        ("disabled", "disabled"),
    ]
    contains = forms.CharField(label="Name contains", required=False, max_length=200)
    state = forms.ChoiceField(label="State", required=False, choices=STATES)
    family = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)
    after = forms.CharField(required=False, max_length=1_000, widget=forms.HiddenInput, strip=False)

    def query(self, **others: str) -> str:
        """The parameters of the list with these others; empty ones are left out."""
        given = {name: value for name, value in self.cleaned_data.items() if name != "after"} | others
        return urlencode({name: value for name, value in given.items() if value})


class SubscriptionsView(ConsoleView):
    """All subscriptions; those of a family are behind one line."""

    template_name = "lockstep/console/subscriptions.html"
    title = "Subscriptions"
    section = "subscriptions"
    is_live = True

    def heading(self) -> str:
        family = self.request.GET.get("family")
        return f"Subscriptions of {plain(family)}" if family else self.title

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        return [(self.title, address("subscriptions"))] if self.request.GET.get("family") else ()

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - the parameters of the route
        form = ListForm(self.request.GET)
        if not form.is_valid():
            return {"form": form, "rows": [], "families": [], "first_query": None, "most": reads.MOST_LISTED}
        given = form.cleaned_data
        rows = reads.page_of_states(
            after=given["after"],
            family=given["family"] or None,
            contains=given["contains"] or None,
            state=given["state"] or None,
            limit=LISTED + 1,
        )
        is_cut = len(rows) > LISTED
        return {
            "form": form,
            "rows": [(row, " ".join(sentences(row))) for row in rows[:LISTED]],
            "families": [] if given["family"] or given["after"] else reads.families(),
            "family": given["family"],
            "next_query": form.query(after=rows[LISTED - 1].name) if is_cut else "",
            "first_query": form.query() if given["after"] else None,
            "most": reads.MOST_LISTED,
        }


class SubscriptionView(ConsoleView):
    """One subscription: what it does and why, what waits, what fails, and what it follows."""

    template_name = "lockstep/console/subscription.html"
    title = "Subscription"
    section = "subscriptions"
    is_live = True

    def heading(self) -> str:
        return plain(self.kwargs["name"])

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        return trail(self.kwargs["name"])

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        try:
            return super().get(request, *args, **kwargs)
        except UnknownSubscription:
            if kwargs["name"] in {family.name for family in registered_families()}:
                return HttpResponseRedirect(family_address(str(kwargs["name"])))
            raise

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - the parameters of the route
        name = kwargs["name"]
        state = reads.state_of(name)
        rates = reads.attempts_by_minute(name)
        measured = [] if state.family else samples.recent(name)  # families are measured as one
        return {
            "state": state,
            "sentences": sentences(state),
            "times": [(row.words, row.total) for row in reads.waiting_times(name)],
            "failing": reads.failing(name, limit=NAMED),
            "attempts": reads.latest_attempts(name, limit=NAMED),
            "succeeded": [(at, done) for at, done, _ in rates],
            "failed": [(at, failed) for at, _, failed in rates],
            "lags": samples.lags(measured),
            "waiting": [(each.at, each.waiting) for each in measured],
            "letters_query": urlencode({"subscription": name}),
            "most": reads.MOST,
        }


def trail(name: str, *, is_beneath: bool = False) -> list[Breadcrumb]:
    """The pages above a subscription's, with the family's list; and its own for a page beneath it."""
    found = [(SECTIONS["subscriptions"], address("subscriptions"))]
    family, colon, _ = name.partition(":")
    if colon:
        found.append((plain(family), family_address(family)))
    return [*found, (plain(name), address("subscription", name))] if is_beneath else found


def family_address(family: str) -> str:
    """The list of a family's members."""
    return f"{address('subscriptions')}?{urlencode({'family': family})}"


class SubscriptionAction(ActionView):
    """An operation on the subscription of the route."""

    template_name = "lockstep/console/subscription_action.html"
    section = "subscriptions"
    words: ClassVar[str]  # what is done to the subscription
    explanation: ClassVar[str]

    @cached_property
    def state(self) -> reads.State:
        """The subscription before the operation. Raises UnknownSubscription."""
        return reads.state_of(self.subscription())

    def heading(self) -> str:
        return f"{self.words} {plain(self.subscription())}"

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        return trail(self.subscription(), is_beneath=True)

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        self.state  # noqa: B018 - an address may have any name: raises UnknownSubscription
        return super().post(request, *args, **kwargs)

    def page(self, request: HttpRequest, context: Mapping[str, object], *, status: int = 200) -> HttpResponse:
        own = {"explanation": self.explanation, "sentences": sentences(self.state)}
        return super().page(request, own | dict(context), status=status)


class PauseForm(forms.Form):
    """Why the subscription is paused, which all its pages show."""

    reason = forms.CharField(max_length=500, help_text="All pages and the command line show it with the subscription.")


class PauseView(SubscriptionAction):
    """Stops fan-out and delivery until it is resumed."""

    title = words = verb = "Pause"
    kind = "pause"
    form_class = PauseForm
    explanation = (
        "A paused subscription gets nothing until it is resumed. Writers and other subscriptions are not affected."
    )

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        state = self.state
        found = [f"The reason will be: {plain(parameters['reason'], MAX_VALUE)}"]
        if state.state == "disabled":
            found.append(f"{state.name} is disabled: it will be paused once it is enabled.")
        elif state.state == "paused":
            found.append(
                f"{state.name} is paused already, for this reason: {plain(state.reason)}. The reason is replaced."
            )
        else:
            found += [
                "Deliveries in progress end normally; no others begin.",
                f"{amount(state.waiting, 'change')} in lanes will wait, and new changes will wait in the log.",
                "The log keeps its weeks as long as this subscription needs them.",
            ]
        return ActionPreview(found)

    def perform(self, parameters: Mapping[str, Any]) -> str:
        name = self.subscription()
        if operations.pause(name, reason=parameters["reason"]) == "disabled":
            return f"Noted: {name} is disabled, and paused once it is enabled."
        return f"Paused {name}: {plain(parameters['reason'], MAX_VALUE)}"


class ResumeView(SubscriptionAction):
    """Continues where it stopped."""

    title = words = verb = "Resume"
    kind = "resume"
    explanation = "A resumed subscription continues where it stopped: nothing is left out."

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        state = self.state
        if state.state == "active":
            return ActionPreview([f"{state.name} is active already: nothing would change."], does_something=False)
        with transaction.atomic(lockstep_settings.DATABASE):  # so that it refuses exactly what would fail
            after = operations.resume(state.name)
            transaction.set_rollback(True, using=lockstep_settings.DATABASE)
        if after == "disabled":
            return ActionPreview([f"{state.name} stays disabled; it will not be paused once it is enabled."])
        return ActionPreview(
            [
                f"Delivery continues with {amount(state.waiting, 'change')} in lanes.",
                f"{amount(state.behind, 'change')} that only the log has will follow, in order.",
            ]
        )

    def perform(self, parameters: Mapping[str, Any]) -> str:
        name = self.subscription()
        if operations.resume(name) == "disabled":
            return f"Not paused any more: {name}, which is disabled still."
        return f"Resumed {name}: it continues where it stopped."


class RewindForm(forms.Form):
    """From when on changes are sent again."""

    since = forms.DateTimeField(
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"),
    )
    everything = forms.BooleanField(label="All changes that the log has", required=False)

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - those of a form
        super().__init__(*arguments, **options)
        zone = timezone.get_current_timezone_name()
        self.fields["since"].help_text = f"Changes that were written since then, in the time zone {zone}."

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if "since" in found and bool(found["since"]) == found.get("everything", False):
            raise forms.ValidationError("Name either a time or all changes.")
        return found


class RewindView(SubscriptionAction):
    """Sends the changes since a time again, in order."""

    title = words = verb = "Rewind"
    kind = "rewind"
    form_class = RewindForm
    is_dangerous = True
    explanation = (
        "A rewind sends all changes since a time again, delivered or not, in their order and with the same message ids."
        " Receivers that know the ids can ignore the repeated ones."
    )

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        state = self.state
        if state.state == "disabled":
            raise WrongState(f"{state.name} is disabled: it gets nothing.")
        extent = reads.rewind_extent(state.name, parameters["since"])
        if extent.first is None:
            return ActionPreview(["The log has nothing since then: nothing would be sent."], does_something=False)
        if not extent.changes and extent.is_whole:
            return ActionPreview(["It follows no change since then: nothing would be sent."], does_something=False)
        found = list(_extent_in_words(extent))
        if state.kind == "state":
            found.append("It gets the latest state only, so that of an object's changes the last one is sent.")
        if state.state == "paused":
            found.append(f"{state.name} is paused ({plain(state.reason)}): they are sent once it is resumed.")
        return ActionPreview(found)

    def perform(self, parameters: Mapping[str, Any]) -> str:
        name, since = self.subscription(), parameters["since"]
        if not operations.rewind(name, since=since):
            return f"Nothing to send again: {name} is unchanged, because the log has nothing since then."
        return f"Rewound {name}: it starts again {_place(since)}."


def _extent_in_words(extent: reads.Extent) -> Sequence[str]:
    """What a rewind sends: exact where all changes were read, else of the first ones, and how far the log goes."""
    now = timezone.now()
    if extent.first_at is None or extent.last_at is None:
        times = ""
    else:
        times = f", from {clock(extent.first_at, now)} to {clock(extent.last_at, now)}"
    what = f"{counted(extent.changes, 'change')} of {counted(extent.objects, 'object')}"
    if extent.is_whole:
        return [f"{what} will be sent again{times}."]
    total = (extent.last or 0) - (extent.first or 0) + 1
    return [
        f"The log has up to {total:,} changes since then. Of the first {extent.scanned:,}, "
        f"{what} will be sent again{times}.",
        "The later ones that it follows will be sent after them.",
    ]


def _place(since: datetime | None) -> str:
    return f"with the changes since {clock(since, timezone.now())}" if since else "with the first change of the log"
