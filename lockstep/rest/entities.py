"""Re-exports of backend/entities/models.py, until the shop imports them from there."""

from backend.entities.models import (
    BUMP_VERSION,
    AliveParent,
    AnyUser,
    Entity,
    EntityQuerySet,
    NextNumber,
    number_field,
)

__all__ = ["BUMP_VERSION", "AliveParent", "AnyUser", "Entity", "EntityQuerySet", "NextNumber", "number_field"]
