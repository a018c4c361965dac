"""A stand-in of November 7, the movies' provider, with its profile on demand."""

from devstack.sandbox.november7.fault_profile import NO_FAULTS, OBSERVED, FaultProfile
from devstack.sandbox.november7.standin import StandIn

__all__ = ["NO_FAULTS", "OBSERVED", "FaultProfile", "StandIn"]
