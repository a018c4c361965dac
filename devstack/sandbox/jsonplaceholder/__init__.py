"""A stand-in of JSONPlaceholder and json-server for `make run`, demos and tests, with faults on demand."""

from devstack.sandbox.jsonplaceholder.server_variants import Mode
from devstack.sandbox.jsonplaceholder.standin import StandIn

__all__ = ["Mode", "StandIn"]
