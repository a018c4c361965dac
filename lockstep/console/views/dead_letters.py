"""Dead letters: the list and its groups, one letter, and their replay and discard."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.utils import timezone
from django.utils.http import urlencode

from lockstep.changes.commands import counted
from lockstep.console.links import address
from lockstep.console.reads import dead_letters as reads
from lockstep.console.reads.actors import Actor, read_actors
from lockstep.console.reads.changes import MAX_SHOWN, ColumnDiff, shown
from lockstep.console.reads.dead_letters import Letter, LetterFilter, Outcome
from lockstep.console.views.base import MAX_VALUE, SECTIONS, ActionPreview, ActionView, Breadcrumb, ConsoleView
from lockstep.console.views.objects import request_address
from lockstep.console.words import clock, plain
from lockstep.delivery import operations
from lockstep.delivery.reports import ChangeFilter, Preview, ReplayResult
from lockstep.delivery.subscriptions import registered_families

LISTED = 50  # letters of a page
NAMED = 20  # changes and attempts that are named
FIRST_AFTER = UUID(int=2**128 - 1)
ALL_WAIT = "The changes wait in their lanes already: nothing is added, and the letters are settled."


def _datetime_input() -> forms.DateTimeInput:
    return forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class FilterForm(forms.Form):
    """The filters of dead letters, which an address can carry."""

    subscription = forms.CharField(required=False, max_length=1_000)
    model = forms.CharField(label="Model", required=False, max_length=200, help_text='Such as "blog.article".')
    object_id = forms.CharField(label="Object", required=False, max_length=1_000, help_text="Its primary key.")
    cause = forms.CharField(label="Cause contains", required=False, max_length=500)
    since = forms.DateTimeField(label="Changed since", required=False, widget=_datetime_input())
    until = forms.DateTimeField(label="Changed before", required=False, widget=_datetime_input())
    group = forms.CharField(label="Cause", required=False, max_length=1_000, widget=forms.HiddenInput, strip=False)

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - those of a form
        super().__init__(*arguments, **options)
        for name in ("since", "until"):
            self.fields[name].help_text = f"In the time zone {timezone.get_current_timezone_name()}."

    def clean_model(self) -> str:
        return str(self.cleaned_data["model"]).lower()  # as in Django, "blog.Article" is "blog.article"

    @property
    def letter_filter(self) -> LetterFilter:
        """The selection of a valid form. The name of a family stands for all of its members."""
        given = {name: self.cleaned_data.get(name) or None for name in LetterFilter.__dataclass_fields__}
        chosen = LetterFilter(**given)
        if chosen.subscription in {family.name for family in registered_families()}:
            return replace(chosen, subscription=None, family=chosen.subscription)
        return chosen


class ListForm(FilterForm):
    """The filters of the list: those of letters, their outcome, and where the page begins."""

    OUTCOMES = [("", "open"), ("replayed", "replayed"), ("discarded", "discarded")]
    outcome = forms.ChoiceField(required=False, choices=OUTCOMES)
    settled = forms.DateTimeField(required=False, widget=forms.HiddenInput)
    before = forms.UUIDField(required=False, widget=forms.HiddenInput)
    field_order = ["subscription", "outcome"]

    def query(self, **others: object) -> str:
        """The parameters of this list with others; without them of its first page."""
        return _query(self.data, {name for name in self.fields if name != "before"}, others)

    def action_query(self, **others: object) -> str:
        """The parameters of an operation on this list."""
        return _query(self.data, set(FilterForm.base_fields), others)


def _query(given: Mapping[str, Any], names: set[str], others: Mapping[str, object]) -> str:
    own = {name: given.get(name) for name in names} | dict(others)
    return urlencode({name: str(own[name]) for name in sorted(own) if own[name]})


class DeadLettersView(ConsoleView):
    """The list of dead letters, with its groups by cause."""

    template_name = "lockstep/console/dead_letters.html"
    title = "Dead letters"
    section = "dead_letters"

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - the parameters of the route
        form = ListForm(self.request.GET)
        if not form.is_valid():
            return {"form": form}
        chosen, before = form.letter_filter, form.cleaned_data["before"]
        page = reads.page_of_letters(chosen, before=before, limit=LISTED)
        is_first_page_of_open = not chosen.outcome and before is None
        return {
            "form": form,
            "chosen": chosen,
            "page": page,
            "older_query": form.query(before=page.before) if page.before else "",
            "newest_query": form.query() if before else None,
            "action_query": form.action_query(),
            "subscriptions": self._subscriptions(chosen),
            "groups": self._groups(form, chosen) if is_first_page_of_open else None,
            "batch": self._batch(chosen, before),
            "scanned": reads.MAX_SCANNED,
            "grouped": reads.MAX_GROUPED,
            "at_once": reads.MAX_CHOSEN,
        }

    def _batch(self, chosen: LetterFilter, before: UUID | None) -> reads.Batch | None:
        """What became of one replay, where the list is of its letters."""
        is_of_one_replay = chosen.outcome == "replayed" and chosen.settled and chosen.subscription
        return reads.batch(chosen, before=before) if is_of_one_replay else None

    def _subscriptions(self, chosen: LetterFilter) -> Sequence[object]:
        """Subscriptions to choose from, where none is chosen."""
        if chosen.subscription or chosen.outcome:
            return []
        return reads.subscriptions(family=chosen.family, limit=LISTED)

    def _groups(self, form: ListForm, chosen: LetterFilter) -> Mapping[str, object] | None:
        """The groups with the parameters of their lists and operations."""
        found = reads.groups(chosen)
        rows = []
        for group in found.rows:
            own = {"subscription": group.subscription, "group": group.cause}
            rows.append((group, form.query(**own), form.action_query(**own)))
        return {"rows": rows, "letters": found.letters, "is_cut": found.is_cut}


class DeadLetterView(ConsoleView):
    """One dead letter: its change, what the remote said, what waits behind it, and what became of it."""

    template_name = "lockstep/console/dead_letter.html"
    title = "Dead letter"
    section = "dead_letters"
    is_live = True

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        return [(SECTIONS["dead_letters"], address("dead_letters"))]

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - the parameters of the route
        letter = reads.letter(kwargs["key"])
        if letter is None:
            raise Http404("There is no such dead letter.")
        row, lane = letter.row, reads.lane_of(letter.row, limit=NAMED)
        attempts = reads.attempts_of(row, limit=NAMED)
        again = reads.letter_again(row)
        return {
            "letter": letter,
            "row": row,
            "actor": self._actor(letter),
            "request_address": request_address(letter.change.trace if letter.change else None, row.seq),
            "lane": lane,
            "is_cut": lane is not None and len(lane.changes) == NAMED,
            "fields": field_differences(letter),
            "attempts": attempts,
            "outcome": outcome_in_words(letter, is_dead_again=again is not None),
            "again": again,
            "action_query": urlencode({"subscription": row.subscription, "letters": str(row.id)}),
            "named": NAMED,
        }

    @staticmethod
    def _actor(letter: Letter) -> Actor | None:
        """Who wrote the change, by name; None where the log no longer has the change, or it has no actor."""
        text = letter.change.actor if letter.change else ""
        return read_actors([text]).get(text)


def field_differences(letter: Letter) -> list[ColumnDiff]:
    """The captured columns of the letter's change, and whether an update changed them."""
    change = letter.change
    if change is None:
        return []
    before, after = change.before or {}, change.after or {}
    is_update = change.before is not None and change.after is not None
    return [
        ColumnDiff(
            name,
            shown(before.get(name, ...), MAX_SHOWN),
            shown(after.get(name, ...), MAX_SHOWN),
            is_update and before.get(name, ...) != after.get(name, ...),
        )
        for name in sorted(before.keys() | after.keys())
    ]


def outcome_in_words(letter: Letter, *, is_dead_again: bool) -> list[str]:
    """What became of a letter, or what can become of it, in sentences."""
    row = letter.row
    if row.outcome and row.settled:
        when = clock(row.settled, timezone.now())
        if row.outcome == "discarded":
            return [f"Discarded at {when}: {plain(row.reason)}"]
        return [f"Replayed at {when}.", _outcome_of_replay(letter, is_dead_again=is_dead_again)]
    if letter.change is None and letter.kind == "event":
        return ["Its change is no longer in the log, so it cannot be replayed: discard it."]
    if letter.change is not None and not letter.is_fanned_out:
        return ["Its change is not fanned out yet, as after a rewind: it is sent by itself."]
    if letter.state == "disabled":
        return ["Its subscription is disabled and gets nothing: it can only be discarded."]
    return ["It is sent again when it is replayed."]


def _outcome_of_replay(letter: Letter, *, is_dead_again: bool) -> str:
    row = letter.row
    if row.waits and row.lane_failure:
        return f"It waits in its object's lane, where the last attempt failed: {plain(row.lane_cause)}"
    if row.waits:
        return "It waits in its object's lane and is not delivered yet."
    if is_dead_again:
        return "It failed again and is another dead letter."
    return "It does not wait any more: it was delivered."


class LettersForm(FilterForm):
    """The filter of an operation, and once they are chosen its letters: their ids with spaces between."""

    after = forms.UUIDField(required=False, widget=forms.HiddenInput)
    letters = forms.CharField(required=False, max_length=40 * reads.MAX_CHOSEN, widget=forms.HiddenInput)

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - those of a form
        super().__init__(*arguments, **options)
        self.fields["subscription"].required = True
        for name in FilterForm.base_fields:
            self.fields[name].widget = forms.HiddenInput()

    def clean_letters(self) -> tuple[UUID, ...]:
        try:
            found = tuple(UUID(text) for text in str(self.cleaned_data["letters"]).split())
        except ValueError as error:
            raise forms.ValidationError("Must be UUIDs.") from error
        if len(found) > reads.MAX_CHOSEN:
            raise forms.ValidationError(f"Must be at most {reads.MAX_CHOSEN:,}.")
        return found


class DiscardForm(LettersForm):
    """The letters, and why they are discarded."""

    reason = forms.CharField(max_length=500, help_text="Kept with each letter.")


class LettersAction(ActionView):
    """An operation on the open dead letters of one subscription that match a filter, or on named ones.

    Which letters these are is decided once, for the preview, and carried by the form: letters that die between the
    preview and the confirmation are not touched. There are MAX_CHOSEN at most; for more it is done again.
    """

    template_name = "lockstep/console/letters_action.html"
    section = "dead_letters"
    form_class: ClassVar[type[LettersForm]]
    _next_query = ""  # the parameters for the next letters that match
    _done = ""  # where the operator goes afterwards

    def subscription(self) -> str:
        given = self.request.POST if self.request.method == "POST" else self.request.GET
        return str(given.get("subscription", ""))

    def heading(self) -> str:
        return f"{self.title} of {plain(self.subscription())}" if self.subscription() else self.title

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        return [
            (SECTIONS["dead_letters"], f"{address('dead_letters')}?{urlencode({'subscription': self.subscription()})}")
        ]

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        return self._show(request, self._begin(request.GET.copy()))

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.POST.get("step") == "preview":
            return self._show(request, self._begin(request.POST.copy()))
        return super().post(request, *args, **kwargs)

    def _begin(self, given: QueryDict) -> forms.Form:
        """The form with its letters; one that needs a reason begins with asking for it."""
        given["letters"] = " ".join(given.getlist("letters"))
        if "reason" in self.form_class.base_fields and "reason" not in given:
            return self.make_form(initial=given.dict())
        return self._with_letters(given)

    def _with_letters(self, given: QueryDict) -> forms.Form:
        """The form with these values, in which the letters are chosen."""
        form = self.form_class(given)
        if not form.is_valid():
            return form
        values = form.cleaned_data
        chosen = reads.chosen_letters(form.letter_filter, letters=values["letters"] or None, after=values["after"])
        if chosen.after:
            self._next_query = _query(given, set(FilterForm.base_fields), {"after": chosen.after})
        given["letters"] = " ".join(map(str, chosen.letters))
        return self.make_form(given)

    def page(self, request: HttpRequest, context: Mapping[str, object], *, status: int = 200) -> HttpResponse:
        own = {"next_query": self._next_query, "at_once": reads.MAX_CHOSEN, "choice": self._choice()}
        return super().page(request, own | dict(context), status=status)

    def _choice(self) -> list[tuple[str, str]]:
        """The filter that the letters were chosen by, as words."""
        given = self.request.POST if self.request.method == "POST" else self.request.GET
        fields = [(name, field) for name, field in FilterForm.base_fields.items() if name != "subscription"]
        return [(str(field.label), plain(given[name])) for name, field in fields if given.get(name)]

    def done_address(self) -> str:
        return self._done or f"{address('dead_letters')}?{urlencode({'subscription': self.subscription()})}"

    def change_filter(self, parameters: Mapping[str, Any]) -> ChangeFilter:
        """The chosen letters, as the operations take them."""
        return ChangeFilter(self.subscription(), letters=parameters["letters"])

    def note_outcome(self, outcome: Outcome, letters: Sequence[UUID]) -> None:
        """Leads to the list of these letters afterwards."""
        settled = reads.transaction_time()
        query = {"subscription": self.subscription(), "outcome": outcome, "settled": settled.isoformat()}
        last = UUID(int=min(max(letters, default=FIRST_AFTER).int + 1, FIRST_AFTER.int))
        self._done = f"{address('dead_letters')}?{urlencode(query | {'before': str(last)})}"

    def recorded(self, parameters: Mapping[str, Any]) -> Mapping[str, object]:
        """What the operation's record keeps: a thousand ids are too many to read, and all have its time."""
        letters = parameters["letters"]
        kept = {name: value for name, value in parameters.items() if name != "letters" and value}
        named = {"first_letter": letters[0], "last_letter": letters[-1]} if len(letters) > NAMED else {"ids": letters}
        return kept | {"letters": len(letters)} | named


class ReplayView(LettersAction):
    """Sends dead letters again with the same message ids."""

    title = "Replay dead letters"
    verb = "Replay"
    kind = "replay"
    form_class = LettersForm

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        if not parameters["letters"]:
            return ActionPreview(["No open letters match: nothing would be sent."], does_something=False)
        found = operations.preview_letters(self.change_filter(parameters))
        sentences = [*_sent(found), *_left(found)] if found.changes else ["Nothing would be sent.", *_left(found)]
        return ActionPreview(sentences, does_something=found.changes > 0)

    def perform(self, parameters: Mapping[str, Any]) -> str:
        done = operations.replay_letters(self.change_filter(parameters))
        self.note_outcome("replayed", parameters["letters"])
        if done.changes:
            sentence = f"Replaying {counted(done.changes, 'change')} of {counted(done.objects, 'object')}."
        else:
            sentence = ALL_WAIT if done.objects else "Nothing was replayed."
        return " ".join([sentence, *_left(done)])


class DiscardView(LettersAction):
    """Discards dead letters; they are kept with the reason."""

    title = "Discard dead letters"
    verb = "Discard"
    kind = "discard"
    form_class = DiscardForm
    is_dangerous = True

    def preview(self, parameters: Mapping[str, Any]) -> ActionPreview:
        if not parameters["letters"]:
            return ActionPreview(["No open letters match: nothing would be discarded."], does_something=False)
        found = operations.preview_discard(self.change_filter(parameters))
        if not found.changes:
            return ActionPreview(["These letters are settled already."], does_something=False)
        what = f"{counted(found.changes, 'letter')} of {counted(found.objects, 'object')}"
        return ActionPreview(
            [
                f"{what} will be discarded{_times(found)}.",
                "Their changes are never sent to this subscription again, unless it is rewound. The letters are kept.",
                f"The reason will be: {plain(parameters['reason'], MAX_VALUE)}",
            ]
        )

    def perform(self, parameters: Mapping[str, Any]) -> str:
        count = operations.discard_letters(self.change_filter(parameters), reason=parameters["reason"])
        self.note_outcome("discarded", parameters["letters"])
        return f"{counted(count, 'letter')} discarded."


def _sent(preview: Preview) -> Iterator[str]:
    if not (added := preview.changes - preview.waiting):
        yield ALL_WAIT
        return
    what = f"{counted(added, 'change')} of {counted(preview.objects, 'object')}"
    yield f"{what} will be sent again, with the same message ids{_times(preview)}."
    if preview.waiting:
        yield f"Already in their lanes, and not added again: {counted(preview.waiting, 'change')}."


def _times(preview: Preview) -> str:
    if preview.first is None or preview.last is None:
        return ""
    now = timezone.now()
    return f", written from {clock(preview.first, now)} to {clock(preview.last, now)}"


def _left(result: Preview | ReplayResult) -> list[str]:
    """The letters that stay open, and why."""
    found = []
    if count := result.not_fanned_out:
        found.append(
            f"Not fanned out yet: {counted(count, 'change')}. They are sent by themselves, and their letters stay open."
        )
    if count := result.not_in_log:
        found.append(f"No longer in the log: {counted(count, 'change')}. Their letters stay open: discard them.")
    return found
