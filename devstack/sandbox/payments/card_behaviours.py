"""The test cards, and what the gateway does with the charges of each."""

from dataclasses import dataclass
from typing import Literal

from devstack.sandbox.faults import Fault

PAYS = "4242424242424242"
IS_DECLINED = "4000000000000002"
LACKS_FUNDS = "4000000000009995"
LOSES_THE_ANSWER = "4000000000000101"
LOSES_THE_REQUEST = "4000000000000119"
DECIDES_LATE = "4000000000000127"
DECLINES_LATE = "4000000000000135"
CUTS_THE_LINE = "4000000000000143"
FAILS_TWICE = "4000000000000150"

FaultKind = Literal["answer lost", "request lost", "cut", "failure"]


@dataclass(frozen=True)
class Delays:
    """Seconds, all from the moment at which a request for a charge comes."""

    silence: float = 30.0
    """Until the connection of a request ends that is never answered."""
    hidden: float = 2.0
    """Until a look-up finds a charge that is decided late."""
    undecided: float = 5.0
    """Until such a charge is decided."""


USUAL_DELAYS = Delays()


@dataclass(frozen=True)
class CardBehaviour:
    """What becomes of the charges of a card."""

    name: str
    sentence: str
    reason: str | None = None
    """Why they are declined, if they are."""
    late: bool = False
    """They are decided some time after the request."""
    fault: FaultKind | None = None
    """What befalls the first `times` requests with one key."""
    times: int = 1


CARDS: dict[str, CardBehaviour] = {
    PAYS: CardBehaviour("pays", "Is charged. So is every valid number that is not in this table."),
    IS_DECLINED: CardBehaviour("is declined", "Is declined.", reason="card_declined"),
    LACKS_FUNDS: CardBehaviour("lacks funds", "Is declined for lack of money.", reason="insufficient_funds"),
    LOSES_THE_ANSWER: CardBehaviour(
        "loses the answer",
        "Is charged, and the first request is never answered: a time-out after the effect.",
        fault="answer lost",
    ),
    LOSES_THE_REQUEST: CardBehaviour(
        "loses the request",
        "The first request is never answered and charges nothing, a second one with its key does: a time-out before "
        "the effect.",
        fault="request lost",
    ),
    DECIDES_LATE: CardBehaviour(
        "decides late",
        "The first request is never answered; a look-up finds nothing, then a pending charge, then an approved one.",
        late=True,
        fault="answer lost",
    ),
    DECLINES_LATE: CardBehaviour(
        "declines late",
        "The first request is never answered; a look-up finds nothing, then a pending charge, then a declined one.",
        reason="card_declined",
        late=True,
        fault="answer lost",
    ),
    CUTS_THE_LINE: CardBehaviour(
        "cuts the line",
        "Is charged, and the connection is cut before the answer: asked again, it answers with the same charge.",
        fault="cut",
    ),
    FAILS_TWICE: CardBehaviour(
        "fails twice",
        "The first two requests are answered 500 and charge nothing, the third one works.",
        fault="failure",
        times=2,
    ),
}
BEHAVIOURS = {behaviour.name: behaviour for behaviour in CARDS.values()}


def behaviour_of(number: str) -> CardBehaviour:
    """How the card of this number behaves."""
    return CARDS.get(number, CARDS[PAYS])


def fault_of(behaviour: CardBehaviour, attempt: int, delays: Delays) -> Fault:
    """What goes wrong with the first, second, … request that has a key."""
    if behaviour.fault is None or attempt > behaviour.times:
        return Fault()
    if behaviour.fault == "failure":
        return Fault(status=500)
    latency = 0.0 if behaviour.fault == "cut" else delays.silence
    return Fault(latency=latency, cut=True, after_effect=behaviour.fault != "request lost")
