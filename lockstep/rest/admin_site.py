"""Re-exports of backend/entities/admin_site.py, until the shop imports them from there."""

from backend.entities.admin_site import EntityAdmin, ReadOnly, admin_site

__all__ = ["EntityAdmin", "ReadOnly", "admin_site"]
