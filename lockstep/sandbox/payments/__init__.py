"""A stand-in of a payment gateway for `make run`, demos and tests, with test cards and faults on demand."""

from lockstep.sandbox.payments.moods import Delays
from lockstep.sandbox.payments.standin import StandIn

__all__ = ["Delays", "StandIn"]
