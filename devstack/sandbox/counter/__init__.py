"""A stand-in of the counter server for `make run`, demos and tests, with faults on demand."""

from devstack.sandbox.counter.standin import StandIn

__all__ = ["StandIn"]
