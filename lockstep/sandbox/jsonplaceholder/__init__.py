"""A stand-in of JSONPlaceholder and json-server for `make run`, demos and tests, with faults on demand."""

from lockstep.sandbox.jsonplaceholder.habits import Mode
from lockstep.sandbox.jsonplaceholder.standin import StandIn

__all__ = ["Mode", "StandIn"]
