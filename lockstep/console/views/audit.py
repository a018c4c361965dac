"""The audit: proof that rows, log and remotes agree, requested here and made by a worker."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from lockstep.changes.capture import captures
from lockstep.changes.commands import counted
from lockstep.console import runs
from lockstep.console.links import address
from lockstep.console.views.base import SECTIONS, ActionPreview, Breadcrumb, ConsoleView
from lockstep.console.views.runs import RequestRunView, list_of_runs


class AuditView(ConsoleView):
    """The audits, the latest first."""

    template_name = "lockstep/console/audit.html"
    title = "Audit"
    section = "audit"
    is_live = True

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - as the base class has it
        return list_of_runs(self.request, "")


class AuditForm(forms.Form):
    """What is compared."""

    outside = forms.BooleanField(
        label="Other systems, too",
        required=False,
        initial=True,
        help_text="Providers of mirrors are read as a whole, which may take minutes. They are not changed.",
    )
    # A form without its only box is a valid one: this says that it was sent.
    chosen = forms.BooleanField(required=True, initial=True, widget=forms.HiddenInput)


class RequestAuditView(RequestRunView):
    """Requests an audit."""

    title = verb = "Audit"
    section = "audit"
    kind = "audit"
    form_class = AuditForm

    def heading(self) -> str:
        return "Make an audit"

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        return [(SECTIONS["audit"], address("audit"))]

    def before_address(self) -> str:
        return address("audit")

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        found = [
            f"A worker compares the rows of {counted(len(list(captures())), 'model')} with the log.",
            "It compares every subscription with its dead letters.",
        ]
        if parameters["outside"]:
            found.append("It reads the other systems that have registered a comparison.")
        return ActionPreview([*found, "Nothing is changed. It reads whole tables: writers are not blocked."])

    def perform(self, parameters: Mapping[str, Any]) -> str:
        self.run = runs.request_run("audit", actor=self.actor, parameters={"outside": parameters["outside"]})
        return "An audit is requested. A worker makes it as soon as it is free."
