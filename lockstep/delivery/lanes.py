"""Claiming lanes and settling claims (sql/lanes.sql says how)."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.rows import TupleRow

from lockstep.delivery.clock import DatabaseClock
from lockstep.delivery.database import Connection
from lockstep.delivery.epochs import Epochs
from lockstep.delivery.errors import (
    DeliveryError,
    DependencyPending,
    LeaseLost,
    Receipt,
    Rejected,
    RetryLater,
    TimedOut,
    Unreachable,
    Vanished,
)
from lockstep.delivery.retry import counts, delay_after
from lockstep.delivery.subscriptions import Change, Claim, Skipped, Subscriber, WithinHandler
from lockstep.delivery.values import as_json, bigints, booleans, storable
from lockstep.sql import statements

LANES = statements(__file__, "lanes")
RELEASE = ("release_pending", "delete_empty")
REMOVE = ("remove_delivered", *RELEASE)

logger = logging.getLogger(__name__)

BEGINNING = datetime.min.replace(tzinfo=UTC)
COMMIT_SKEW = timedelta(seconds=1)


@dataclass(slots=True)  # made for every change, as claims are
class Outcome:
    """How a claim ended: delivered (no error), skipped, or failed.

    `began` and `ended` are of time.monotonic().
    """

    claim: Claim
    error: DeliveryError | None = None
    receipt: Receipt | None = None
    began: float = 0.0
    ended: float = 0.0
    skipped: Skipped | None = None
    traceparent: str = ""  # of its span

    @property
    def is_success(self) -> bool:
        """Whether the remote accepted it; a skipped one is no success."""
        return self.error is None and self.skipped is None

    @property
    def was_tried(self) -> bool:
        """Whether it may have arrived: one that waits for another delivery was not sent."""
        return not isinstance(self.error, DependencyPending)

    @property
    def is_answer(self) -> bool:
        """Whether the remote answered, even with a refusal."""
        if self.error is None:
            return self.is_success
        is_refusal = isinstance(self.error, RetryLater | Rejected)
        return is_refusal and not isinstance(self.error, Unreachable | TimedOut | Vanished)

    @property
    def counts(self) -> bool:
        """Whether the failure uses up an attempt."""
        return self.error is not None and counts(self.error, early=self.claim.early)

    @property
    def attempts(self) -> int:
        """The number of attempts used up."""
        return self.claim.attempts if self.counts else self.claim.attempts - 1

    @property
    def delay(self) -> float | None:
        """Seconds until the next attempt; None for none."""
        return delay_after(self.attempts, self.error, self.claim.schedule) if self.error else None

    @property
    def cause(self) -> str:
        """The error as text."""
        return storable(f"{type(self.error).__name__}: {self.error}"[:2_000])


@dataclass(slots=True)
class ScanFloor:
    """Where a scan for due lanes begins: earlier ones were claimed, except rare late ones.

    A lane becomes visible at its commit, a little after its time.
    """

    moment: datetime = BEGINNING

    def move(self, latest: datetime) -> None:
        """Raises the floor: all lanes up to `latest` were found."""
        self.moment = max(self.moment, latest - COMMIT_SKEW)

    def reset(self) -> None:
        """Makes the next scan a full one."""
        self.moment = BEGINNING


async def claim(
    connection: Connection, subscriber: Subscriber, limit: int, epochs: Epochs, scan_floor: ScanFloor | None = None
) -> list[Claim]:
    """Claims up to `limit` due lanes of a subscription, each with the change at its head. Raises the scan floor.

    A head whose change is no longer in the log becomes a dead letter: it would be claimed without end.
    """
    scan_floor = scan_floor or ScanFloor()
    choice = {"subscription": subscriber.name, "limit": limit, "lease": timedelta(seconds=subscriber.lease)}
    cursor = await connection.execute(LANES["claim"], choice | {"from": scan_floor.moment})
    taken = {lane: (token, next_at, early) for lane, token, next_at, early in await cursor.fetchall()}
    if not taken:
        return []
    scan_floor.move(max(next_at for _, next_at, _ in taken.values()))
    cursor = await connection.execute(LANES["heads"], {"subscription": subscriber.name, "lanes": bigints(taken)})
    early = {lane: is_early for lane, (_, _, is_early) in taken.items()}
    claims = _claims(subscriber, epochs, await cursor.fetchall(), early)
    if idle := taken.keys() - {claim.lane for claim in claims}:
        await release(connection, *((lane, taken[lane][0]) for lane in idle))
    if vanished := [claim for claim in claims if claim.change.kind is None]:
        await _give_up(connection, subscriber, vanished)
    return [claim for claim in claims if claim.change.kind is not None]


def _claims(
    subscriber: Subscriber, epochs: Epochs, heads: Sequence[TupleRow], early: Mapping[int, bool]
) -> list[Claim]:
    """The claims of these heads (sql/lanes.sql, heads), all with one reading of the database's clock."""
    seconds = heads[0][5] if heads else 0.0
    clock = DatabaseClock(datetime.fromtimestamp(seconds, UTC))
    return [
        Claim(
            lane,
            token,
            attempts + 1,
            epochs.message_id(change, subscriber.name),
            change,
            kind=kind,
            early=early[lane],
            silent=silent,
            clock=clock,
            schedule=subscriber.schedule,
        )
        for lane, token, attempts, kind, silent, _, *row in heads
        for change in [Change(*row)]
    ]


async def _give_up(connection: Connection, subscriber: Subscriber, vanished: Sequence[Claim]) -> None:
    error = Vanished("the change log does not have this change any more")
    await settle(connection, [Outcome(claim, error) for claim in vanished])
    for claim in vanished:
        change = claim.change
        line = "%s: %s %s is a dead letter: its change %d is not in the log any more"
        logger.error(line, subscriber.name, change.model, change.object_id, change.seq)


async def hold(connection: Connection, subscriber: Subscriber, model: str, object_id: str) -> tuple[int, int] | None:
    """Claims the lane of one object, so that no worker delivers it; None while one does. `release` ends the claim."""
    choice = {"subscription": subscriber.name, "model": model, "object_id": object_id}
    cursor = await connection.execute(LANES["hold"], choice | {"lease": timedelta(seconds=subscriber.lease)})
    return await cursor.fetchone()


async def release(connection: Connection, *held: tuple[int, int]) -> None:
    """Releases held lanes, by their tokens: their changes are due at once."""
    async with connection.transaction():
        if locked := await _lock(connection, held):
            for statement in RELEASE:
                await connection.execute(LANES[statement], {"lanes": bigints(lane for lane, _ in locked)})


async def deliver_within(connection: Connection, claims: Sequence[Claim], handler: WithinHandler) -> None:
    """Runs the handler in the transaction that settles its claims.

    The claims are checked after the handler: the lanes are not locked while it works. Raises LeaseLost.
    """
    async with connection.transaction():
        await handler(connection, claims)
        await connection.execute(LANES["go_by_index"])
        if len(await _lock_claimed(connection, claims)) < len(claims):
            raise LeaseLost("the lease ended before the handler did")
        await _remove(connection, claims)


def settle_within(connection: BaseDatabaseWrapper, claims: Sequence[Claim]) -> None:
    """Settles claims in the current transaction of this Django connection, as its last statements.

    Raises LeaseLost; then the transaction must be rolled back.
    """
    delivered = _parameters(claims)
    with connection.cursor() as cursor:
        cursor.execute(LANES["go_by_index"])
        cursor.execute(LANES["lock_claimed"], delivered)
        if len(cursor.fetchall()) < len(claims):
            raise LeaseLost("the lease ended before the handler did")
        for statement in REMOVE:
            cursor.execute(LANES[statement], delivered)


def _parameters(claims: Sequence[Claim]) -> dict[str, str]:
    """The parameters of the statements that lock the lanes of claims, and remove their changes."""
    return {
        "lanes": bigints(claim.lane for claim in claims),
        "tokens": bigints(claim.token for claim in claims),
        "seqs": bigints(claim.change.seq for claim in claims),
        "absorbs": booleans(claim.kind == "state" for claim in claims),
    }


async def _record(connection: Connection, subscriber: Subscriber, outcomes: Sequence[Outcome]) -> None:
    """Records the attempts, except skipped ones."""
    now = time.monotonic()
    tried = [_attempt(outcome, now) for outcome in outcomes if not outcome.skipped]
    if tried:
        attempts = {"subscription": subscriber.name, "attempts": as_json(tried)}
        await connection.execute(LANES["record_attempts"], attempts)


def _attempt(outcome: Outcome, now: float) -> dict[str, object]:
    claim, change = outcome.claim, outcome.claim.change
    return {
        "message_id": str(claim.message_id),
        "model": change.model,
        "object_id": change.object_id,
        "kind": change.kind,
        "seq": change.seq,
        "at": change.at.isoformat(),
        "number": claim.attempts,
        "ago": now - outcome.began,
        "seconds": outcome.ended - outcome.began,
        "failure": outcome.error.failure if outcome.error else None,
        "cause": outcome.cause if outcome.error else None,
        "receipt": outcome.receipt,
    }


async def settle(
    connection: Connection, outcomes: Sequence[Outcome], recorded_for: Subscriber | None = None
) -> list[Outcome]:
    """Settles claims by their outcomes; returns those of claims that still held their lanes.

    0. Record the attempts where the subscription keeps them: an attempt is visible together with its effect.
    1. Lock the lanes whose claim still holds; a stale claim changes nothing from here on.
    2. Make dead letters of final failures; remove these and the delivered changes from the lanes.
    3. Release the lanes with pending changes, delete the empty ones.
    4. Postpone the lanes that retry, without the changes that a sent state has absorbed.
    """
    async with connection.transaction():
        if recorded_for:
            await _record(connection, recorded_for, outcomes)
        by_claim = {(outcome.claim.lane, outcome.claim.token): outcome for outcome in outcomes}
        held = [by_claim[each] for each in await _lock_claimed(connection, [outcome.claim for outcome in outcomes])]
        dead = [outcome for outcome in held if outcome.error and outcome.delay is None]
        done = [outcome for outcome in held if not outcome.error] + dead
        failed = [(outcome, delay) for outcome in held if outcome.error and (delay := outcome.delay) is not None]
        if dead:
            await _dead_letter(connection, dead)
        if done:
            await _remove(connection, [outcome.claim for outcome in done])
        if failed:
            await _postpone(connection, failed)
    return held


async def _lock(connection: Connection, held: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Locks and returns those of the lanes that still have these tokens."""
    claims = {"lanes": bigints(lane for lane, _ in held), "tokens": bigints(token for _, token in held)}
    cursor = await connection.execute(LANES["lock_claimed"], claims)
    return [(lane, token) for lane, token in await cursor.fetchall()]


async def _lock_claimed(connection: Connection, claims: Sequence[Claim]) -> list[tuple[int, int]]:
    """Locks and returns the lanes and tokens of the claims that still hold them."""
    return await _lock(connection, [(claim.lane, claim.token) for claim in claims])


async def _dead_letter(connection: Connection, dead: Sequence[Outcome]) -> None:
    letters = {
        "lanes": bigints(outcome.claim.lane for outcome in dead),
        "seqs": bigints(outcome.claim.change.seq for outcome in dead),
        "ats": [outcome.claim.change.at for outcome in dead],
        "message_ids": [outcome.claim.message_id for outcome in dead],
        "attempts": [outcome.attempts for outcome in dead],
        "causes": [outcome.cause for outcome in dead],
    }
    await connection.execute(LANES["dead_letter"], letters)


async def _remove(connection: Connection, claims: Sequence[Claim]) -> None:
    delivered = _parameters(claims)
    async with connection.pipeline():  # one round trip for all three
        for statement in REMOVE:
            await connection.execute(LANES[statement], delivered)


async def _postpone(connection: Connection, failed: Sequence[tuple[Outcome, float]]) -> None:
    if states := [outcome.claim for outcome, _ in failed if outcome.claim.kind == "state" and outcome.was_tried]:
        tried = {
            "lanes": bigints(claim.lane for claim in states),
            "seqs": bigints(claim.change.seq for claim in states),
        }
        await connection.execute(LANES["absorb"], tried)
    waits = {
        "lanes": bigints(outcome.claim.lane for outcome, _ in failed),
        "ats": [outcome.claim.change.at for outcome, _ in failed],
        "delays": [delay for _, delay in failed],
        "counts": [outcome.counts for outcome, _ in failed],
        "failures": [outcome.error.failure for outcome, _ in failed if outcome.error],
        "causes": [outcome.cause for outcome, _ in failed],
    }
    await connection.execute(LANES["postpone"], waits)
