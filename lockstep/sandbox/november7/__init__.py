"""A stand-in of November 7, the movies' provider, with its temper on demand."""

from lockstep.sandbox.november7.standin import StandIn
from lockstep.sandbox.november7.temper import CALM, OBSERVED, Temper

__all__ = ["CALM", "OBSERVED", "StandIn", "Temper"]
