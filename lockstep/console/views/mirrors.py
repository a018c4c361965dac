"""Mirrors: their state, their plan, and its application."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse

from lockstep.changes.commands import counted
from lockstep.console import runs
from lockstep.console.links import address
from lockstep.console.models import Run
from lockstep.console.reads.mirrors import mirror_of, read_checks, read_mirrors, read_unanswered
from lockstep.console.reads.runs import latest_runs, newer_plan
from lockstep.console.views.base import SECTIONS, ActionPreview, Breadcrumb, ConsoleView
from lockstep.console.views.runs import RequestRunView, list_of_runs, run_or_404, to_apply
from lockstep.delivery.operations import WrongState
from lockstep.mirror.collections import Mirror, registered_mirrors

DEFAULT_MAX_DELETE = 100  # deletions that need no second confirmation, as of the command that synchronises


class MirrorsView(ConsoleView):
    """All mirrors that the project has declared."""

    template_name = "lockstep/console/mirrors.html"
    title = "Mirrors"
    section = "mirrors"
    is_live = True

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - as the base class has it
        mirrors = registered_mirrors()
        if not mirrors:
            raise Http404("This project declares no mirror.")
        latest = latest_runs(mirror.provider for mirror in mirrors)
        return {"mirrors": [(row, latest.get(row.provider)) for row in read_mirrors(mirrors)]}


class MirrorView(ConsoleView):
    """One mirror: whether it is in step, its drift over time, and its runs."""

    template_name = "lockstep/console/mirror.html"
    title = "Mirror"
    section = "mirrors"
    is_live = True

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - as the base class has it
        mirror = mirror_or_404(kwargs["provider"])
        [row] = read_mirrors([mirror])
        return {
            "mirror": mirror,
            "row": row,
            "checks": read_checks(mirror.provider),
            "unanswered": read_unanswered(mirror),
            **list_of_runs(self.request, mirror.provider),
        }

    def heading(self) -> str:
        return f"Mirror at {self.kwargs['provider']}"

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        return [(SECTIONS["mirrors"], address("mirrors"))]


class MirrorAction(RequestRunView):
    """Requests a run of one mirror."""

    section = "mirrors"

    @cached_property
    def mirror(self) -> Mirror:
        """The mirror that it concerns. Raises Http404."""
        return mirror_or_404(self.kwargs["provider"])

    def subscription(self) -> str:
        return self.mirror.subscription

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        return [(SECTIONS["mirrors"], address("mirrors")), (self.mirror.provider, self.before_address())]

    def before_address(self) -> str:
        return address("mirror", self.mirror.provider)


class PlanView(MirrorAction):
    """Requests a plan."""

    title = verb = "Plan"
    kind = "plan"

    def heading(self) -> str:
        return f"Plan for {self.mirror.provider}"

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        collections = ", ".join(collection.name for collection in self.mirror.collections)
        return ActionPreview(
            [
                f"A worker reads all of {collections} at {self.mirror.provider}, and compares each object with ours.",
                "Nothing is changed, neither there nor here. The differences are shown field by field.",
            ]
        )

    def perform(self, parameters: Mapping[str, Any]) -> str:
        self.run = runs.request_run("plan", actor=self.actor, mirror=self.mirror.provider)
        return f"A plan of {self.mirror.provider} is requested. A worker makes it as soon as it is free."

    def recorded(self, parameters: Mapping[str, Any]) -> Mapping[str, object]:
        return {"mirror": self.mirror.provider}


class ApplyForm(forms.Form):
    """Above the ceiling the operator writes how many objects will be deleted."""

    deletions = forms.IntegerField(required=False, min_value=0, max_value=2**31 - 1)

    def __init__(self, planned: int, ceiling: int, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - of a form
        super().__init__(*arguments, **options)
        self._planned, self._ceiling = planned, ceiling
        if planned <= ceiling:
            del self.fields["deletions"]
            return
        number = self.fields["deletions"]
        number.label = "Objects that will be deleted"
        deleted = f"The plan deletes more than {counted(ceiling, 'object')} there."
        number.help_text = f"{deleted} Write their number to confirm."

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if "deletions" in self.fields and found.get("deletions") != self._planned:
            raise forms.ValidationError(
                f"The plan deletes {counted(self._planned, 'object')}. Nothing is applied without this number."
            )
        return found


class ApplyView(MirrorAction):
    """Applies one plan: exactly its differences, as far as they are still the same."""

    template_name = "lockstep/console/apply.html"
    title = verb = "Apply"
    kind = "apply"
    is_dangerous = True

    @cached_property
    def plan(self) -> Run:
        """The plan. Raises Http404 for another kind of run, or of another mirror."""
        run = run_or_404(self.kwargs["key"])
        if run.kind != Run.Kind.PLAN or mirror_of(run.mirror) is None:
            raise Http404("There is no such plan.")
        return run

    @cached_property
    def mirror(self) -> Mirror:
        return mirror_or_404(self.plan.mirror)

    @property
    def ceiling(self) -> int:
        """How many deletions need no second confirmation: none before anything was imported."""
        return DEFAULT_MAX_DELETE if self.plan.summary.get("was_imported") else 0

    @property
    def counts(self) -> Mapping[str, int]:
        """The plan's differences by kind."""
        found: Mapping[str, int] = self.plan.summary.get("counts", {})
        return found

    def heading(self) -> str:
        return f"Apply a plan at {self.mirror.provider}"

    def before_address(self) -> str:
        return address("run", self.plan.pk)

    def make_form(self, data: Mapping[str, Any] | None = None, **options: Any) -> forms.Form:  # noqa: ANN401 - of a form
        return ApplyForm(self.counts.get("delete", 0), self.ceiling, data, **options)

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        needs_number = self.counts.get("delete", 0) > self.ceiling and "deletions" not in request.GET
        return self._show(request, self.make_form(None if needs_number else request.GET))

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        self.plan  # noqa: B018 - raises Http404
        return super().post(request, *args, **kwargs)

    def page(self, request: HttpRequest, context: Mapping[str, object], *, status: int = 200) -> HttpResponse:
        own = {"plan": self.plan, "sentences": self._sentences(), "newer": newer_plan(self.plan)}
        return super().page(request, own | dict(context), status=status)

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        self._require_appliable()
        return ActionPreview(
            [
                f"A worker reads {self.mirror.provider} again, and applies what of the plan is still the same.",
                "What has changed since the plan is named and left alone; so is what is new.",
                *self._sentences(),
            ]
        )

    def perform(self, parameters: Mapping[str, Any]) -> str:
        self._require_appliable()
        self.run = runs.request_run("apply", actor=self.actor, mirror=self.mirror.provider, plan=self.plan.pk)
        changes = counted(to_apply(self.plan), "difference")
        what = f"{changes} of the plan {self.plan.pk} at {self.mirror.provider}"
        return f"The application of {what} is requested. A worker does it as soon as it is free."

    def recorded(self, parameters: Mapping[str, Any]) -> Mapping[str, object]:
        return {"mirror": self.mirror.provider, "plan": self.plan.pk, "deletions": self.counts.get("delete", 0)}

    def _require_appliable(self) -> None:
        if self.plan.state != Run.State.DONE:
            raise WrongState("The plan is not complete. Wait for it, or plan again.")
        if not to_apply(self.plan):
            raise WrongState("The plan has nothing that a push can mend.")

    def _sentences(self) -> list[str]:
        """What the plan would change there."""
        summary, there = self.plan.summary, self.mirror.provider
        verbs = {"create": "created", "update": "changed", "delete": "deleted"}
        found = [
            f"{counted(self.counts[kind], 'object')} will be {verb} at {there}."
            for kind, verb in verbs.items()
            if self.counts.get(kind)
        ]
        if summary.get("left_out"):
            found.append(f"{summary['left_out']:,} more are not named by the plan, and stay: plan again afterwards.")
        if shrunk := summary.get("shrunk"):
            found.append(f"{there} did not show {shrunk[0]:,} of {shrunk[1]:,} objects that it had. Is that right?")
        if not summary.get("was_imported"):
            found.append(f"Nothing was ever imported from {there}: run {self.mirror.import_command} first?")
        if summary.get("stopped"):
            found.append("Workers have stopped mending; they go on after this.")
        return found


def mirror_or_404(provider: str) -> Mirror:
    """The mirror of a provider. Raises Http404."""
    mirror = mirror_of(provider)
    if mirror is None:
        raise Http404("This project declares no such mirror.")
    return mirror
