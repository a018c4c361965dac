"""The gateway's tokens of cards."""

from django.conf import settings

from backend.providers.payments import Card, CardRefused, tokenise
from lockstep.http.errors import ProviderError
from lockstep.rest.errors import Invalid, Unavailable

CARD_SECONDS = 5.0  # while the buyer waits


def tokenise_card(*, card_number: str, expiry: str, cvc: str) -> str:
    """The gateway's token for a card. Raises Invalid for a refused card, and Unavailable."""
    try:
        return tokenise(settings.PAYMENTS_URL, Card(card_number, expiry, cvc), CARD_SECONDS)
    except CardRefused as refused:
        raise Invalid({f"payment.{refused.field}": refused.detail}) from None
    except ProviderError as error:
        raise Unavailable(
            "The payment gateway does not answer right now. Nothing was changed; try again in a moment.", retry_after=2
        ) from error
