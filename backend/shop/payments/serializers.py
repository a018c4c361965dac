"""Serializers of payments."""

from typing import Any

from rest_framework import serializers

from lockstep.rest.serializers import StrictSerializer


class CardText(serializers.RegexField):
    """A part of a card, which is not trimmed; `message` is its error message."""

    def __init__(self, pattern: str, message: str, **options: Any) -> None:  # noqa: ANN401 - the field's options
        messages: dict[str, Any] = dict.fromkeys(("invalid", "blank"), message)
        super().__init__(pattern, trim_whitespace=False, write_only=True, error_messages=messages, **options)


class CardSerializer(StrictSerializer):
    """A payment card. It is passed to the payment gateway and never stored."""

    card_number = CardText(r"^[0-9 -]{12,30}$", "Must be the digits of a card, with or without spaces.")
    expiry = CardText(r"^[0-9]{2}/[0-9]{2}$", "Must be MM/YY, such as 12/40.", help_text="MM/YY")
    cvc = CardText(r"^[0-9]{3,4}$", "Must be three or four digits.")
    example = {"card_number": "4242424242424242", "expiry": "12/40", "cvc": "123"}


class ConfirmationSerializer(StrictSerializer):
    """The payment of an order."""

    payment = CardSerializer()
    example = {"payment": CardSerializer.example}
