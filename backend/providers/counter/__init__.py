"""The client of a counter server."""

from backend.providers.counter.client import Counter, Tally

__all__ = ["Counter", "Tally"]
