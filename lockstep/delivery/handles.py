"""`lockstep.subscription(name)`: the operations of the command line, for a project's own code."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from lockstep.conf import lockstep_settings
from lockstep.delivery import operations
from lockstep.delivery.reports import ChangeFilter, DeadLetterRow, Preview, ReplayResult, Status


@dataclass(frozen=True, slots=True)
class SubscriptionHandle:
    """One subscription by its name. Each method is a transaction, and raises UnknownSubscription where there is none.

    With `plan=True` nothing is changed, and the preview is returned.
    """

    name: str

    def status(self) -> Status:
        """State, reason and counts."""
        found = [status for status in operations.status() if status.name == self.name]
        if not found:
            raise operations.UnknownSubscription(f"There is no subscription {self.name!r}.")
        return found[0]

    def pause(self, *, reason: str) -> str:
        """Stops delivery until `resume`; changes wait. Returns the state."""
        return operations.pause(self.name, reason=reason)

    def resume(self) -> str:
        """Continues where it stopped. Returns the state. Raises WrongState."""
        return operations.resume(self.name)

    def rewind(self, *, since: datetime | None = None, plan: bool = False) -> Preview:
        """Sends all changes since this time again, in order; by default all that the log has.

        Returns a preview of them. Raises WrongState.
        """
        with transaction.atomic(lockstep_settings.DATABASE):
            preview = operations.preview_span(ChangeFilter(self.name, since=since))
            if not plan:
                operations.rewind(self.name, since=since)
        return preview

    def dead_letters(
        self, *, model: str | None = None, object_id: str | None = None, cause: str | None = None
    ) -> list[DeadLetterRow]:
        """The dead letters that are neither replayed nor discarded, oldest first."""
        return operations.dead_letters(ChangeFilter(self.name, model=model, object_id=object_id, cause=cause))

    def replay_dead_letters(
        self,
        letters: Sequence[UUID] | None = None,
        *,
        model: str | None = None,
        object_id: str | None = None,
        cause: str | None = None,
        plan: bool = False,
    ) -> Preview | ReplayResult:
        """Sends dead letters again with the same message ids: all, those with these ids, or those that match.

        Raises WrongState.
        """
        chosen = None if letters is None else tuple(letters)
        change_filter = ChangeFilter(self.name, letters=chosen, model=model, object_id=object_id, cause=cause)
        return operations.preview_letters(change_filter) if plan else operations.replay_letters(change_filter)

    def replay(self, *, since: datetime, until: datetime | None = None, plan: bool = False) -> Preview | ReplayResult:
        """Sends all changes of a period again, delivered or not. Raises WrongState."""
        change_filter = ChangeFilter(self.name, since=since, until=until)
        return operations.preview_span(change_filter) if plan else operations.replay_span(change_filter)

    def discard_dead_letters(
        self, letters: Sequence[UUID] | None = None, *, reason: str, cause: str | None = None, plan: bool = False
    ) -> int:
        """Discards dead letters, and keeps them with the reason. Returns the number discarded."""
        change_filter = ChangeFilter(self.name, letters=None if letters is None else tuple(letters), cause=cause)
        if plan:
            return operations.preview_discard(change_filter).changes
        return operations.discard_letters(change_filter, reason=reason)


def subscription(name: str) -> SubscriptionHandle:
    """The operations on one subscription."""
    return SubscriptionHandle(name)
