"""The client of a counter server that shows its counts."""

from backend.providers.counter.client import Counter, Tally

__all__ = ["Counter", "Tally"]
