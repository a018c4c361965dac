"""One run: how far it is, how it ended, and its differences."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest
from django.utils.functional import cached_property
from django.utils.http import urlencode

from lockstep.console.links import address
from lockstep.console.models import Run
from lockstep.console.reads.actors import read_actors
from lockstep.console.reads.runs import DifferenceFilter, newer_plan, read_differences, read_runs, run_of
from lockstep.console.views.base import SECTIONS, ActionView, Breadcrumb, ConsoleView
from lockstep.console.words import is_storable
from lockstep.delivery.heartbeat import worker_state

LISTED = 50  # differences of a page
RUNS = 20  # runs of a page
MAX_NUMBER = 2**31 - 1

TITLES = {"plan": "Plan of", "apply": "Application of a plan at", "audit": "Audit"}


class RequestRunView(ActionView):
    """Requests a run. The operator is led to its page."""

    run: UUID | None = None

    def done_address(self) -> str:
        return address("run", self.run) if self.run else self.before_address()

    def before_address(self) -> str:
        """Where the operator came from."""
        raise NotImplementedError

    @cached_property
    def actor(self) -> str:
        """The actor of the run."""
        return f"user:{self.request.user.pk}"


class FilterForm(forms.Form):
    """The filters of a run's differences, which an address can carry."""

    KINDS = [("", "any"), ("create", "create"), ("update", "update"), ("delete", "delete")]
    KINDS += [("not_persisted", "not persisted")]
    OWN = [("", "any"), ("no", "drift"), ("yes", "by our own writes")]
    RESULTS = [("", "any"), ("done", "done"), ("failed", "failed"), ("left", "not applied")]
    kind = forms.ChoiceField(required=False, choices=KINDS)
    collection = forms.CharField(required=False, max_length=200)
    field = forms.CharField(label="Field that differs", required=False, max_length=200)
    key = forms.CharField(label="Object", required=False, max_length=200, help_text="Its number or id, here or there.")
    own = forms.ChoiceField(label="Cause", required=False, choices=OWN)
    result = forms.ChoiceField(required=False, choices=RESULTS)
    after = forms.IntegerField(required=False, min_value=0, max_value=MAX_NUMBER, widget=forms.HiddenInput)

    def __init__(self, run: Run, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - those of a form
        super().__init__(*arguments, **options)
        if run.kind == Run.Kind.AUDIT:
            for name in ("kind", "field", "own", "result"):
                del self.fields[name]
            self.fields["collection"].label = "Comparison"
        if run.kind == Run.Kind.PLAN:
            del self.fields["result"]

    @property
    def chosen(self) -> DifferenceFilter:
        """The selection of a valid form."""
        given = {name: self.cleaned_data.get(name) or None for name in ("kind", "collection", "field", "key", "result")}
        own = {"yes": True, "no": False}.get(self.cleaned_data.get("own", ""))
        return DifferenceFilter(**given, is_own=own)

    def query(self, **others: object) -> str:
        """The parameters of the list with these others; empty ones are left out."""
        given = {name: value for name, value in self.cleaned_data.items() if name != "after"} | others
        return urlencode({name: value for name, value in given.items() if value})


class RunView(ConsoleView):
    """One run."""

    template_name = "lockstep/console/run.html"
    title = "Run"
    section = "mirrors"
    is_live = True

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - as the base class has it
        run = self.run = run_or_404(kwargs["key"])
        form = FilterForm(run, self.request.GET)
        rows = []
        if form.is_valid():
            after = form.cleaned_data["after"] or 0
            rows = read_differences(run.pk, form.chosen, after=after, limit=LISTED + 1)
        is_cut = len(rows) > LISTED
        is_appliable = run.kind == Run.Kind.PLAN and run.state == Run.State.DONE and bool(to_apply(run))
        return {
            "run": run,
            "verdict": verdict_of(run),
            "form": form,
            "actor": read_actors([run.actor]).get(run.actor),
            "worker_state": worker_state() if run.state == Run.State.WAITING else "ok",
            "differences": rows[:LISTED],
            "next_query": form.query(after=rows[LISTED - 1].number) if is_cut else "",
            "first_query": form.query() if form.is_valid() and form.cleaned_data["after"] else None,
            "has_filter": form.is_valid() and form.chosen != DifferenceFilter(),
            "findings": run.summary.get("findings", []),
            "is_appliable": is_appliable,
            "newer": newer_plan(run) if is_appliable else None,
        }

    def heading(self) -> str:
        return f"{TITLES[self.run.kind]} {self.run.mirror}".strip()

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        if self.run.kind == Run.Kind.AUDIT:
            return [(SECTIONS["audit"], address("audit"))]
        return [(SECTIONS["mirrors"], address("mirrors")), (self.run.mirror, address("mirror", self.run.mirror))]

    def _base_context(self, request: HttpRequest) -> dict[str, object]:
        section = "audit" if self.run.kind == Run.Kind.AUDIT else "mirrors"
        return super()._base_context(request) | {"sections": self.sections(section)}


def run_or_404(key: UUID) -> Run:
    """The run with this id. Raises Http404."""
    run = run_of(key)
    if run is None:
        raise Http404("There is no such run. The latest ones of each mirror are kept.")
    return run


def verdict_of(run: Run) -> str:
    """ "good", "late" where something differs or failed, "bad" for a failed run; "" for one that has not ended."""
    if run.is_open:
        return ""
    if run.state == Run.State.FAILED:
        return "bad"
    summary = run.summary
    differs = any(each["differing"] or each["not_compared"] for each in summary.get("findings", []))
    is_left = summary.get("failed") or summary.get("left", 0) != 0 or any(summary.get("counts", {}).values())
    return "late" if differs or is_left else "good"


def to_apply(run: Run) -> int:
    """How many of a plan's differences a push can mend."""
    counts: Mapping[str, int] = run.summary.get("counts", {})
    return sum(counts.get(kind, 0) for kind in ("create", "update", "delete"))


def list_of_runs(request: HttpRequest, mirror: str) -> dict[str, object]:
    """The context of a list of runs, from `?before=` on. Raises Http404 for a key that no run can have."""
    text = request.GET.get("before", "")
    try:
        before = UUID(text) if text and is_storable(text) else None
    except ValueError as error:
        raise Http404("There is no such page.") from error
    rows = read_runs(mirror, before=before, limit=RUNS + 1)
    actors = read_actors(row.actor for row in rows)
    return {
        "runs": [(row, actors.get(row.actor)) for row in rows[:RUNS]],
        "older": rows[RUNS - 1].id if len(rows) > RUNS else None,
        "is_first": before is None,
    }
