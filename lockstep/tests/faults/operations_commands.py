"""What operators, owners and upkeep do in a schedule, and what the model is told of it."""

from collections.abc import Callable
from typing import Any

from faults.operations_model import MODEL, Written
from faults.operations_schedule import CAP, ENDPOINT, EVENT, STATE, Schedule, pick
from faults.stage import Actor, Pool

from lockstep.delivery import housekeeping, operations, partitions, relay
from lockstep.delivery.database import FOR_HANDLERS
from lockstep.delivery.housekeeping import UPKEEP
from lockstep.delivery.reports import ChangeFilter

OPERATIONS = (
    *("pause", "pause", "resume", "resume", "rewind", "rewind", "declare", "declare", "redeliver", "redeliver"),
    *("replay letters", "replay letters", "replay letters", "discard letters", "replay span", "replay span"),
    *("switch", "switch", "follow", "follow", "remove"),
)
REPLAYED = "SELECT seq FROM lockstep_deadletter WHERE id = ANY (%s) AND outcome = 'replayed'"
OF_OWNERS = ("switch", "follow", "remove")


class Commands(Schedule):
    """Each begins one actor, or none where no actor is free or it makes no sense at the moment."""

    def _operation(self, what: str, n: int, m: int) -> Actor | None:
        """An operator at the beginning of something; None where no actor is free, or it makes no sense."""
        if all(any(actor.notes.get("operator") == one for actor in self.stage.actors) for one in (0, 1)):
            return None
        name = pick((EVENT, STATE, ENDPOINT, ENDPOINT), n)
        since = None if m % 3 == 0 or not self.model.log else pick(self.model.log, m).at
        begin: dict[str, Callable[[], Actor | None]] = {
            "pause": lambda: self._pause(name),
            "resume": lambda: self._resume(name),
            "rewind": lambda: self._rewind(name, since),
            "replay letters": lambda: self._settle_letters(self._selection(name, m), discards=False),
            "discard letters": lambda: self._settle_letters(self._selection(name, m), discards=True),
            "replay span": lambda: self._replay_span(name, n, m) if self.model.log else None,
            "redeliver": lambda: self._redeliver(m),
            "declare": lambda: self._declare(pick((EVENT, STATE), n), pick(("event", "state"), m)),
        }
        if what in begin:
            return begin[what]()
        # Of an endpoint: its owner holds the endpoint's own row, so that there is one at a time.
        if any(actor.notes.get("of_owner") for actor in self.stage.actors):
            return None
        return self._switch() if what == "switch" else self._remove() if what == "remove" else self._follow(m)

    def _command(self, what: str, name: str, work: Callable[[], Any], committed: Callable[[Actor], None]) -> Actor:
        operator = next(n for n in (0, 1) if all(actor.notes.get("operator") != n for actor in self.stage.actors))

        def finished(actor: Actor) -> None:
            self.seen[what] += 1
            if what == "follow" or name in self.model.subscriptions:
                committed(actor)

        notes = {"began": self.model.tick(), "of_owner": what in OF_OWNERS}
        return self.stage.operate(f"{what} {name}", operator, work, finished, notes)

    def _pause(self, name: str) -> Actor:
        work = lambda: operations.pause(name, reason="said so")  # noqa: E731
        return self._command("pause", name, work, lambda _: self.model.paused(name))

    def _resume(self, name: str) -> Actor:
        return self._command("resume", name, lambda: operations.resume(name), lambda _: self.model.resumed(name))

    def _switch(self) -> Actor | None:
        known = self.model.subscriptions.get(ENDPOINT)
        if known is None:
            return None
        if known.disabled:
            enabled = lambda actor: self.model.enabled(ENDPOINT, actor.notes["began"])  # noqa: E731
            return self._command("switch", ENDPOINT, lambda: operations.enable(ENDPOINT), enabled)
        work = lambda: operations.disable(ENDPOINT, reason="off")  # noqa: E731
        return self._command("switch", ENDPOINT, work, lambda _: self.model.disabled(ENDPOINT))

    def _remove(self) -> Actor | None:
        if ENDPOINT not in self.model.subscriptions:
            return None
        work = lambda: operations.unsubscribe(ENDPOINT)  # noqa: E731
        return self._command("remove", ENDPOINT, work, lambda _: self.model.removed(ENDPOINT))

    def _follow(self, m: int) -> Actor:
        """An owner changes what the endpoint follows; or makes it again, where it was removed."""
        member, patterns = self._subscriber(ENDPOINT), [f"{MODEL}.{pick(('*', '*', 'created', 'updated'), m)}"]
        row: dict[str, Any] = {"follows": patterns}
        if ENDPOINT not in self.model.subscriptions:
            row |= {"kind": "event", "skip_origin": "echo", "cap": CAP}
        work = lambda: operations.subscribe(member, follows=patterns)  # noqa: E731
        return self._command(
            "follow", ENDPOINT, work, lambda a: self.model.subscribed(ENDPOINT, a.notes["began"], **row)
        )

    def _rewind(self, name: str, since: Any) -> Actor:
        def committed(actor: Actor) -> None:
            if actor.result:
                began, subscription = actor.notes["began"], self.model.subscriptions[name]
                before = [c for c in self._in_log() if c.committed < began and subscription.follows_change(c)]
                wanted = [c.seq for c in before if since is None or c.at >= since]
                self.model.asked_again(name, wanted, began, "rewind", may=[c.seq for c in self.model.log])

        return self._command("rewind", name, lambda: operations.rewind(name, since=since), committed)

    def _settle_letters(self, selection: ChangeFilter, *, discards: bool) -> Actor:
        """Sends dead letters again, or gives them up. Those that it cannot send yet, the relay sends."""
        name = selection.subscription

        def work() -> None:
            if discards:
                operations.discard_letters(selection, reason="enough")
            else:
                operations.replay_letters(selection)

        def committed(actor: Actor) -> None:
            if not discards:
                chosen = {letter: seq for letter, _, _, seq, *_ in actor.notes["letters"]}
                placed = [seq for (seq,) in self._ask(REPLAYED, [list(chosen)])]
                subscription, in_log = self.model.subscriptions[name], {c.seq for c in self._in_log()}
                # What is not fanned out is left to the relay, which sends what is followed; other letters stay open.
                followed = {c.seq for c in self._in_log() if subscription.follows_change(c)}
                wanted = set(chosen.values()) & (followed | (in_log & set(placed)))
                if subscription.kind == "event" and (gone := set(placed) - in_log):
                    self.model.violated(f"{name}: letters of {gone} are replayed, which the log does not have any more")
                self.model.asked_again(name, wanted, actor.notes["began"], "replay", placed=placed)

        what = "discard letters" if discards else "replay letters"
        return self._command(what, name, work, committed)

    def _replay_span(self, name: str, n: int, m: int) -> Actor:
        first, last = sorted([pick(self.model.log, n // 3).at, pick(self.model.log, m).at])
        selection = ChangeFilter(name, since=first, until=last if m % 3 else None)

        def committed(actor: Actor) -> None:
            began, subscription = actor.notes["began"], self.model.subscriptions[name]
            wanted = [
                c for c in self._in_log() if c.committed < began and subscription.follows_change(c) and c.at >= first
            ]
            seqs = [c.seq for c in wanted if selection.until is None or c.at < selection.until]
            # What was committed while it began may be among them.
            also = [c.seq for c in self.model.log if c.at >= first and c.committed > began]
            self.model.asked_again(name, seqs, began, "replay", may=also)

        return self._command("replay span", name, lambda: operations.replay_span(selection), committed)

    def _redeliver(self, m: int) -> Actor | None:
        """One message again: a dead letter, or one that is kept among the attempts."""
        sent = [each for subscription in self.model.subscriptions.values() for each in subscription.sent]
        if not sent:
            return None
        one = pick(sent, m)
        name, message = one.subscription, one.claim.message_id

        def committed(actor: Actor) -> None:
            self.model.asked_again(name, [one.seq], actor.notes["began"], "replay")

        return self._command("redeliver", name, lambda: operations.replay_message(name, message), committed)

    def _declare(self, name: str, kind: str) -> Actor:
        """Another version of the code is installed: its `migrate` says what the subscription is."""
        row = self._subscriber(name, kind).row
        statement = UPKEEP["declare_subscription"]
        return self._command(
            "declare",
            name,
            lambda: operations._run(statement, row),
            lambda a: self.model.subscribed(name, a.notes["began"], kind=kind),
        )

    def _selection(self, name: str, m: int) -> ChangeFilter:
        found = self._letters(name)
        if found and m % 4 == 0:
            return ChangeFilter(name, letters=(pick(found, m // 4)[0],))
        if found and m % 4 == 1:
            return ChangeFilter(name, object_id=pick(found, m // 4)[2])
        return ChangeFilter(name)

    def _letters(self, name: str) -> list[tuple[Any, ...]]:
        """Those that are open."""
        statement = "SELECT id, seq, object_id FROM lockstep_deadletter WHERE subscription_id = %s AND outcome IS NULL"
        return self._ask(f"{statement} ORDER BY seq, id", [name])

    def _in_log(self) -> list[Written]:
        return [change for change in self.model.log if change.seq not in self.model.dropped]

    def _declare_by_worker(self, worker: int, name: str, kind: str) -> Actor | None:
        if not self._free(what := f"start {worker}"):
            return None
        subscriber = self._subscriber(name, kind)

        def declared(actor: Actor) -> None:
            self.model.declared_by_worker(name, actor.notes["moment"], kind)

        return self.stage.act(what, lambda c: relay.declare(c, subscriber), FOR_HANDLERS, declared)  # type: ignore[arg-type]

    def _upkeep(self, what: str) -> Actor | None:
        if not self._free(what):
            return None
        tasks = {
            "resume_drained": housekeeping.resume_drained,
            "remove_places": housekeeping.remove_places,
            "retention": partitions.drop_old_partitions,
        }
        work = lambda connection: tasks[what](Pool(connection))  # type: ignore[operator]  # noqa: E731
        return self.stage.act(what, work, FOR_HANDLERS, self._note_dropped)

    def _note_dropped(self, actor: Actor) -> None:
        if actor.name == "retention" and actor.result:
            self.seen["weeks dropped"] += 1
            self.model.dropped |= {c.seq for c in self.model.log if c.object_id.startswith("old")}

    def _beginning(self, what: str, worker: int, n: int) -> Actor | None:
        if what == "relay":
            return self._relay(worker)
        if what == "claim":
            due = self._due()
            return self._claim(worker, pick(due, n)) if due and self._free(f"courier {worker} {pick(due, n)}") else None
        if what == "settle":
            ended = [key for key, courier in self.couriers.items() if courier._ended]
            ended = [key for key in ended if self._free(f"courier {key[0]} {key[1]}")]
            return self._settle(*pick(ended, n)) if ended else None
        return self._upkeep(what)
