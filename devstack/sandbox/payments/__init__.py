"""A stand-in of a payment gateway for `make run`, demos and tests, with test cards and faults on demand."""

from devstack.sandbox.payments.card_behaviours import Delays
from devstack.sandbox.payments.standin import StandIn

__all__ = ["Delays", "StandIn"]
