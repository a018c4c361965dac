"""How a schedule ends: everybody goes on, everything is delivered, and all is as the model says."""

from faults.operations_commands import Commands
from faults.operations_schedule import ENDPOINT, EVENT, NAMES, STATE

from lockstep.changes.capture import captured
from lockstep.delivery import audit, operations

AUDITED = 8  # each so manyth schedule ends with an audit, which reads a lot
# In whose lanes something waits for a worker, whether something failed, and whether a subscription is full.
LEFT = """
    SELECT ARRAY(SELECT DISTINCT subscription_id FROM lockstep_lane
                 WHERE next_at <= now() OR failure IS NOT NULL ORDER BY subscription_id),
           EXISTS (SELECT FROM lockstep_lane WHERE failure IS NOT NULL),
           EXISTS (SELECT FROM lockstep_subscription WHERE state = 'full')"""

# Nobody has a claim by now: what is left was taken away by an operator.
END_OTHER_LEASES = "UPDATE lockstep_lane SET next_at = now() WHERE failure IS NULL AND next_at > now()"


class Ending(Commands):
    """The last part of a schedule."""

    def _let_everything_run(self) -> None:
        for number in (0, 1):
            self.end(number, commits=True)
        self._end_all_actors()
        for sent, answered, _ in self.waiting:
            self._answer(sent, answered, "200")
        self.waiting.clear()
        self.stage.run(self.stage.breathe())
        for name in [name for name in NAMES if name in self.model.subscriptions]:
            if self.model.subscriptions[name].paused:
                self._finish_command("resume", name)
        self._drain()
        self._compare_sent()
        for name in [name for name in NAMES if name in self.model.subscriptions and self._letters(name)]:
            if not self.model.subscriptions[name].disabled:
                self._finish_command("replay letters", name)
        self._drain()
        self._compare()

    def _finish_command(self, what: str, name: str) -> None:
        self._at_once(self._operation, what, (EVENT, STATE, ENDPOINT).index(name), 3)

    def _end_all_actors(self) -> None:
        for _ in range(500):
            if not self.stage.actors:
                return
            free = [actor for actor in self.stage.actors if not actor.is_blocked]
            assert free, f"all wait for each other: {self.stage.actors}"
            self._step(free[0])
        raise AssertionError(f"they do not end: {self.stage.actors}")

    def _drain(self) -> None:
        """Until nothing is left to do; each round has a cause, and so there are only so many."""
        self._leases_of_the_dead_end()
        for _ in range(12 * len(self.model.log) + 40):
            moved = self._relay_once()
            for key in [key for key, courier in self.couriers.items() if courier._ended]:
                self._at_once(self._settle, *key)
                moved = True
            self._ask(END_OTHER_LEASES)
            due, is_failing, is_full = self._ask(LEFT)[0]
            if is_failing:
                self._time_goes_by()
            for name in [name for name in due if name in self.model.subscriptions]:
                self._round(0, name, "200")
                moved = True
            if is_full:
                self._at_once(self._upkeep, "resume_drained")
                moved = moved or self._one("SELECT NOT EXISTS (SELECT FROM lockstep_subscription WHERE state = 'full')")
            self.nothing_is_violated()
            if not moved:
                return
        raise AssertionError("it does not come to an end")

    def _relay_once(self, chunk: int = 1000) -> bool:
        actor = self._at_once(self._relay, 0, chunk)
        return bool(actor and actor.result and actor.result.moved)

    def _compare_sent(self) -> None:
        for name, subscription in self.model.subscriptions.items():
            for debt in subscription.unpaid():
                gone = " and is not in the log any more" if debt.change.seq in self.model.dropped else ""
                self.model.violated(f"{name} was never sent {debt.change.seq}, {debt.why} at {debt.since}{gone}")
        self.nothing_is_violated()

    def _compare(self) -> None:
        self._compare_sent()
        for name, subscription in self.model.subscriptions.items():
            if subscription.disabled:
                continue
            letters = [letter for letter in self._letters(name) if letter[1] not in self.model.dropped]
            if letters:
                self.model.violated(f"{name}: everything is fanned out, and these letters stay open: {letters}")
        self._compare_queues()
        if self.seen["schedules"] % AUDITED == 0:
            self._audit()
        rows = dict(self._ask("SELECT id::text, title FROM blog_article"))
        latest = {c.object_id: c.title for c in self.model.log if not c.object_id.startswith("old")}
        if rows != {object_id: title for object_id, title in latest.items() if title is not None}:
            self.model.violated("rows and log differ")
        self.nothing_is_violated()

    def _audit(self) -> None:
        """What an operator would be told."""
        rows_and_log = audit.rows_and_log(captured("blog.article"))
        differing = [each for each in rows_and_log.differing if not each.startswith("old")]
        under_way = [each for each in operations.status() if each.state != "disabled" and each.behind + each.waiting]
        if differing or under_way:
            self.model.violated(f"the audit finds {differing} and {under_way}")

    def _compare_queues(self) -> None:
        left = self._ask(
            "SELECT lane.*, d.seq FROM lockstep_lane lane LEFT JOIN lockstep_delivery d ON d.lane_id = lane.id"
        )
        if left:
            self.model.violated(f"this waits, and nobody sends it: {left}")
        behind = self._ask(
            "SELECT s.name, c.seq FROM lockstep_subscription s JOIN lockstep_place place ON place.id = s.place_id "
            "CROSS JOIN LATERAL lockstep_unplaced(place) AS c WHERE s.state <> 'disabled'"
        )
        if behind:
            self.model.violated(f"this is not fanned out, and nobody does it: {behind}")
        places = self._one("SELECT count(DISTINCT place_id) FROM lockstep_subscription WHERE state = 'active'")
        if places != 1:
            self.model.violated(f"all are up to date, and stand at {places} places")
