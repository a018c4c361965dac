"""The payment gateway's stand-in for tests: a server in a thread of this process."""

from pathlib import Path

from devstack.sandbox.payments.api import Api
from devstack.sandbox.payments.card_behaviours import USUAL_DELAYS, Delays, behaviour_of
from devstack.sandbox.payments.ledger import Ledger
from devstack.sandbox.standin import ServerInThread


class StandIn(ServerInThread):
    """A stand-in of a payment gateway: `with StandIn() as gateway: gateway.url`.

    With a `folder` it keeps tokens and charges over restarts. `delays` are those of cards that are decided late, or
    whose requests get no answer.
    """

    def __init__(
        self,
        *,
        delays: Delays = USUAL_DELAYS,
        folder: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self._ledger = Ledger(folder)
        super().__init__(host, port, Api(self._ledger, delays))

    def close(self) -> None:
        """What was written in a folder stays."""
        self._ledger.close()

    def token(self, card_number: str) -> str:
        """A token for this card, without a request."""
        return self._ledger.add_token(behaviour_of(card_number), card_number[-4:])

    def charges(self) -> list[dict[str, object]]:
        """All charges as they are at this moment, oldest first, those that a look-up does not find yet included."""
        return [entry.document(self._ledger.now()) for entry in self._ledger.charges()]

    def skip(self, seconds: float) -> None:
        """Lets so many seconds pass at once for what is hidden or undecided."""
        self._ledger.skip(seconds)
