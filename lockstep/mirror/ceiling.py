"""How much a worker changes at a provider without an operator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Ceiling"]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The maximum of creations, updates and deletions of one repair; None for any number."""

    create: int | None = None
    update: int | None = None
    delete: int | None = None

    def exceeded_by(self, counts: Mapping[Any, int]) -> list[str]:
        """Each count beyond its maximum: "199 to create, at most 100"."""
        limits: dict[str, int | None] = {"create": self.create, "update": self.update, "delete": self.delete}
        return [
            f"{counts[kind]:,} to {kind}, at most {limit:,}"
            for kind, limit in limits.items()
            if limit is not None and counts.get(kind, 0) > limit
        ]
