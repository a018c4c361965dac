"""Waiting for one of several signals."""

import asyncio
from unittest.mock import MagicMock

import pytest

from lockstep.delivery.relay import FEW, Step
from lockstep.delivery.waiting import Signal, first_of
from lockstep.delivery.worker import FEW_SECONDS, MIN_POLL_SECONDS, YIELD_SECONDS, Worker


@pytest.mark.parametrize("chosen", [0, 1])
def test_each_of_the_signals_ends_the_wait(chosen: int):
    async def wait() -> None:
        signals = [Signal(), Signal()]
        waiting = asyncio.create_task(first_of(*signals, seconds=60.0))
        await asyncio.sleep(0)
        signals[chosen].set()
        async with asyncio.timeout(5.0):
            await waiting
        assert [len(signal.waits) for signal in signals] == [0, 0]

    asyncio.run(wait())


def test_a_wait_ends_without_a_signal():
    asyncio.run(asyncio.wait_for(first_of(Signal(), seconds=0.01), 5.0))


def test_a_signal_that_is_set_already_lets_others_run_first():
    async def wait() -> list[str]:
        ran: list[str] = []

        async def other() -> None:
            ran.append("other")

        signal = Signal()
        signal.set()
        task = asyncio.create_task(other())
        await first_of(signal, seconds=60.0)
        ran.append("waiter")
        await task
        return ran

    assert asyncio.run(wait()) == ["other", "waiter"]


def test_a_wait_takes_no_task_and_a_signal_ends_it_in_the_next_round_of_the_loop():
    """It is between a commit and its handler twice: a task for each event took two rounds more."""

    async def wait() -> None:
        signal = Signal()
        waiting = asyncio.create_task(first_of(signal, Signal(), seconds=60.0))
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task(), waiting}
        signal.set()
        await asyncio.sleep(0)
        assert waiting.done()

    asyncio.run(wait())


def test_a_cancelled_wait_leaves_nothing_behind():
    async def wait() -> None:
        signal = Signal()
        waiting = asyncio.create_task(first_of(signal, seconds=60.0))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        assert not signal.waits

    asyncio.run(wait())


@pytest.mark.parametrize(
    ("step", "pause"),
    [
        (Step(True, {"test": 1}), FEW_SECONDS),
        (Step(True, {"test": FEW + 1}), YIELD_SECONDS),
        (Step(True, {}), YIELD_SECONDS),  # no subscription follows them
        (Step(False, {}), 1.5 * MIN_POLL_SECONDS),
    ],
)
def test_after_a_few_changes_the_relay_leaves_the_database_to_their_couriers(
    monkeypatch: pytest.MonkeyPatch, step: Step, pause: float
):
    worker, pauses = Worker([]), list[float]()

    async def advance(connection: object) -> Step:
        return step

    async def first_of(*signals: Signal, seconds: float) -> None:
        pauses.append(seconds)
        worker.stopping.set()

    monkeypatch.setattr("lockstep.delivery.worker.advance", advance)
    monkeypatch.setattr("lockstep.delivery.worker.first_of", first_of)
    asyncio.run(worker._relay(MagicMock()))
    assert pauses == [pytest.approx(pause)]
