"""The client of a payment gateway: the web process turns a card into a token, and a worker charges it."""

from backend.providers.payments.cards import Card, CardRefused, tokenise
from backend.providers.payments.client import Charge, PaymentGateway

__all__ = ["Card", "CardRefused", "Charge", "PaymentGateway", "tokenise"]
