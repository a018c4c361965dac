"""What must be sent, what may be and what must not, by docs/operations.md and decisions 4, 11, 45 and 46.

The moments are numbers that rise with everything that happens. Two things are kept for each subscription:

    debts    a change must be sent after a moment: it was written, or an operator asked for it again
    permits  a change may be sent by a claim at that time; each ends when a claim that began later was settled

A subscription of kind *state* owes an object rather than a change: a later change stands for it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

MODEL = "blog.article"


@dataclass(frozen=True)
class Written:
    """A change of the log, as its writer knows it."""

    seq: int
    at: Any
    object_id: str
    kind: str
    title: str | None
    origin: str | None
    committed: int = 0


@dataclass
class Debt:
    change: Written
    since: int
    of_object: bool
    why: str
    waits: bool = False  # for sure: a letter was settled by placing it


@dataclass
class Permit:
    since: int
    why: str
    times: int = 1  # that it may be settled
    until: int | None = None


@dataclass(eq=False)
class Sent:
    """One call of a handler."""

    subscription: str
    claim: Any
    claimed: int
    began: int
    answer: str | None = None
    settled: int | None = None
    accepted: bool = False
    is_done: bool = False  # accepted, and not to be tried again
    given_up: bool = False  # by whoever sends: its worker died, or its lease ended

    @property
    def seq(self) -> int:
        return int(self.claim.change.seq)

    @property
    def object_id(self) -> str:
        return str(self.claim.change.object_id)

    @property
    def is_state(self) -> bool:
        """Whether it stands for what was before it, whatever the subscription has become since (decision 46)."""
        return bool(self.claim.kind == "state")


@dataclass
class Subscription:
    """What is known of one. `since` is when it was made: nothing before it is its business."""

    name: str
    kind: str
    follows: list[str]
    skip_origin: str | None
    cap: int
    since: int
    paused: bool = False
    disabled: bool = False
    stopped_since: int | None = None  # by pause or disable, when that was committed
    debts: list[Debt] = field(default_factory=list)
    permits: dict[int, list[Permit]] = field(default_factory=lambda: defaultdict(list))
    sent: list[Sent] = field(default_factory=list)
    attempts: dict[str, int | None] = field(default_factory=dict)  # None: a replay may have begun anew
    flips: int = 0
    replaced: set[str] = field(default_factory=set)  # kinds that a later version of the code took the place of

    def follows_change(self, change: Written) -> bool:
        patterns = {"*", "blog.*", f"{MODEL}.*", f"{MODEL}.{change.kind}"}
        return bool(patterns & set(self.follows)) and (self.skip_origin is None or change.origin != self.skip_origin)

    def owe(self, change: Written, since: int, why: str, *, of_object: bool, waits: bool = False) -> None:
        self.debts.append(Debt(change, since, of_object, why, waits))

    def permit(self, seq: int, since: int, why: str, times: int = 1) -> None:
        self.permits[seq].append(Permit(since, why, times))

    def forget(self, now: int) -> None:
        """It is disabled or removed: nothing is owed, and nothing may be claimed any more."""
        self.debts.clear()
        self.attempts.clear()
        for sent in self.sent:
            sent.given_up = sent.given_up or sent.settled is None
        for permits in self.permits.values():
            for permit in permits:
                permit.until = permit.until or now

    def unpaid(self) -> list[Debt]:
        return [debt for debt in self.debts if not self._is_paid(debt)]

    def _is_paid(self, debt: Debt) -> bool:
        return any(
            (sent.seq == debt.change.seq or (sent.seq > debt.change.seq and (debt.of_object or sent.is_state)))
            and (
                sent.began > debt.since or (debt.why != "rewind" and sent.accepted and (sent.settled or 0) > debt.since)
            )
            for sent in self.sent
            if sent.object_id == debt.change.object_id
        )


class Model:
    """The whole of it."""

    def __init__(self) -> None:
        self.now = 0
        self.log: list[Written] = []
        self.subscriptions: dict[str, Subscription] = {}
        self.violations: list[str] = []
        self.ids: dict[UUID, tuple[str, int]] = {}
        self.dropped: set[int] = set()

    def tick(self) -> int:
        self.now += 1
        return self.now

    def violated(self, what: str) -> None:
        self.violations.append(what)

    # Writers

    def committed(self, changes: Iterable[Written]) -> None:
        now = self.tick()
        for change in changes:
            own = Written(**{**vars(change), "committed": now})
            self.log.append(own)
            for subscription in self.subscriptions.values():
                if subscription.disabled:
                    continue
                if subscription.follows_change(own):
                    subscription.owe(own, now, "written", of_object=subscription.kind == "state")
                    subscription.permit(own.seq, now, "written")

    # Operations; each is told at its commit, with the moment at which it began.

    def subscribed(self, name: str, began: int, **row: Any) -> None:
        now = self.tick()
        if name not in self.subscriptions:
            made = self.subscriptions[name] = Subscription(name, since=began, **row)
            for change in self.log:
                if change.committed > began and made.follows_change(change):
                    made.permit(change.seq, now, "written")
            return
        subscription = self.subscriptions[name]
        if "follows" in row:
            self._follows_anew(subscription, list(row["follows"]), now)
        if "kind" in row and row["kind"] != subscription.kind:
            subscription.replaced = (subscription.replaced | {subscription.kind}) - {row["kind"]}
            subscription.kind = row["kind"]
            subscription.flips += 1
            for debt in subscription.debts:
                debt.of_object = True

    def declared_by_worker(self, name: str, began: int, kind: str) -> None:
        """What another version of the code has replaced does not come back by a worker's start."""
        if kind not in self.subscriptions[name].replaced:
            self.subscribed(name, began, kind=kind)

    def _follows_anew(self, subscription: Subscription, follows: list[str], now: int) -> None:
        """What is not fanned out yet goes by the new patterns; nobody knows what that is, but for settled letters."""
        before = [change for change in self.log if subscription.follows_change(change)]
        subscription.follows = follows
        subscription.debts = [
            debt for debt in subscription.debts if debt.waits or subscription.follows_change(debt.change)
        ]
        if not subscription.disabled:
            for change in self.log:
                if subscription.follows_change(change) and change not in before:
                    # Twice where a rewind has kept it in its lane, and its window comes by after that was delivered.
                    subscription.permit(change.seq, now, "followed", times=2)

    def removed(self, name: str) -> None:
        self.tick()
        self.subscriptions.pop(name, None)

    def paused(self, name: str) -> None:
        now = self.tick()
        subscription = self.subscriptions[name]
        subscription.paused = True
        subscription.stopped_since = subscription.stopped_since or now

    def resumed(self, name: str) -> None:
        self.tick()
        subscription = self.subscriptions[name]
        subscription.paused = False
        if not subscription.disabled:
            subscription.stopped_since = None

    def disabled(self, name: str) -> None:
        now = self.tick()
        subscription = self.subscriptions[name]
        subscription.disabled = True
        subscription.stopped_since = subscription.stopped_since or now
        subscription.forget(now)

    def enabled(self, name: str, began: int) -> None:
        now = self.tick()
        subscription = self.subscriptions[name]
        if not subscription.disabled:
            return
        subscription.disabled = False
        if not subscription.paused:
            subscription.stopped_since = None
        for change in self.log:
            if change.committed > began and subscription.follows_change(change):
                subscription.permit(change.seq, now, "written")

    def asked_again(
        self,
        name: str,
        seqs: Iterable[int],
        began: int,
        why: str,
        *,
        may: Iterable[int] = (),
        placed: Collection[int] = (),
    ) -> None:
        """An operator asked for these; `may` is what an operation takes along, `placed` what waits already."""
        now = self.tick()
        subscription = self.subscriptions[name]
        wanted = set(seqs)
        by_seq = {change.seq: change for change in self.log}
        of_object = subscription.kind == "state"
        for seq in sorted(wanted & by_seq.keys()):
            subscription.owe(by_seq[seq], began, why, of_object=of_object, waits=seq in placed)
        first: dict[str, int] = {}
        for seq in wanted & by_seq.keys():
            first[by_seq[seq].object_id] = min(seq, first.get(by_seq[seq].object_id, seq))
        for change in self.log:
            later = (of_object or subscription.flips) and change.seq >= first.get(change.object_id, change.seq + 1)
            if change.seq in wanted or later or change.seq in set(may):
                subscription.permit(change.seq, now, why)
        for object_id in list(subscription.attempts):
            subscription.attempts[object_id] = None

    # Workers

    def began_claim(self, name: str, moment: int, lanes: int) -> None:
        """A statement of that moment took so many lanes."""
        subscription = self.subscriptions.get(name)
        stopped = subscription.stopped_since if subscription else None
        if lanes and stopped is not None and stopped < moment:
            self.violated(f"{name} was stopped at {stopped}, and a claim took {lanes} lanes at {moment}")

    def sends(self, name: str, claim: Any, claimed: int) -> Sent:
        now = self.tick()
        sent = Sent(name, claim, claimed, now)
        self._identify(name, claim)
        subscription = self.subscriptions.get(name)
        if subscription is None or subscription.since > claimed:
            return sent  # it was claimed before it was removed
        self._may_be_sent(subscription, sent)
        self._is_in_order(subscription, sent)
        subscription.sent.append(sent)
        self._counts_rightly(subscription, sent)
        return sent

    def _identify(self, name: str, claim: Any) -> None:
        known = self.ids.setdefault(claim.message_id, (name, claim.change.seq))
        if known != (name, claim.change.seq):
            self.violated(f"the id {claim.message_id} names {known} and {(name, claim.change.seq)}")

    def _may_be_sent(self, subscription: Subscription, sent: Sent) -> None:
        permits = subscription.permits.get(sent.seq, [])
        if not any(permit.until is None or permit.until >= sent.claimed for permit in permits):
            self.violated(f"{subscription.name} was sent {sent.seq} at {sent.began}, which nobody asked for: {permits}")

    def _is_in_order(self, subscription: Subscription, sent: Sent) -> None:
        of_object = [each for each in subscription.sent if each.object_id == sent.object_id]
        out = [each for each in of_object if each.settled is None and not each.given_up]
        if out:
            self.violated(f"{subscription.name}: {sent.seq} is sent while {out[0].seq} of the object is on its way")
        # A state that got no success before the subscription became one of events leaves what it would have absorbed.
        later = [each for each in of_object if each.seq > sent.seq and (each.is_done or not subscription.flips)]
        if not later or (subscription.kind == "event" and any(each.seq == sent.seq for each in of_object)):
            return
        asked = {"rewind", "followed"}
        if subscription.kind == "event" or subscription.flips:
            asked.add("replay")
        if not any(permit.why in asked for permit in subscription.permits[sent.seq]):
            what = f"{subscription.name}: {sent.seq} is sent after {later[0].seq} of the same object"
            self.violated(f"{what}:{self._story(subscription, sent.object_id)}")

    def _counts_rightly(self, subscription: Subscription, sent: Sent) -> None:
        known = subscription.attempts.get(sent.object_id, 0)
        if known is not None and sent.claim.attempts != known + 1:
            what = (
                f"{subscription.name}: {sent.seq} is attempt {sent.claim.attempts} by the claim, after {known} answers"
            )
            self.violated(what)

    def _story(self, subscription: Subscription, object_id: str) -> str:
        told = [
            f"{s.seq} claimed at {s.claimed} (lane {s.claim.lane}, attempt {s.claim.attempts}), sent at {s.began}: "
            f"{s.answer}, settled at {s.settled}{'' if s.accepted else ' in vain'}"
            for s in subscription.sent
            if s.object_id == object_id
        ]
        return "\n    ".join(["", *told])

    def settled(self, sent: Sent, *, accepted: bool, outcome: Any) -> None:
        """A settlement was committed; `accepted` where the lane was still held by the claim."""
        now = self.tick()
        sent.settled, sent.accepted = now, accepted
        subscription = self.subscriptions.get(sent.subscription)
        if subscription is None or sent not in subscription.sent or not accepted:
            return
        if outcome.error and outcome.delay is not None:
            known = subscription.attempts.get(sent.object_id, 0)
            subscription.attempts[sent.object_id] = None if known is None else known + outcome.counts
            return
        sent.is_done = True
        subscription.attempts[sent.object_id] = 0
        absorbed = [change.seq for change in self.log if change.object_id == sent.object_id and change.seq < sent.seq]
        for seq in [sent.seq, *(absorbed if sent.claim.kind == "state" else [])]:
            for permit in subscription.permits.get(seq, []):
                if permit.since < sent.claimed and permit.until is None:
                    permit.times -= 1
                    permit.until = None if permit.times else now
