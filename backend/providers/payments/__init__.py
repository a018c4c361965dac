"""A payment gateway: cards become tokens in the web process, tokens are charged by the worker."""

from backend.providers.payments.cards import Card, CardRefused, tokenise
from backend.providers.payments.client import Charge, PaymentGateway

__all__ = ["Card", "CardRefused", "Charge", "PaymentGateway", "tokenise"]
