"""Permissions beside those of REST framework."""

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from lockstep.rest.errors import InsufficientScope

__all__ = ["ReadsToo", "Staff", "StaffWrite"]


class Staff(BasePermission):
    """Allows staff only."""

    message = "Only staff may access this, and your account is not staff."

    def has_permission(self, request: Request, view: object) -> bool:
        return bool(getattr(request.user, "is_staff", False))


class StaffWrite(Staff):
    """Allows reads to all signed-in users, and writes to staff."""

    message = "Only staff may change this, and your account is not staff."

    def has_permission(self, request: Request, view: object) -> bool:
        return request.method in SAFE_METHODS or super().has_permission(request, view)


class ReadsToo(BasePermission):
    """For views whose writes return more than what was written: they need the scope `read` as well (decision 40)."""

    def has_permission(self, request: Request, view: object) -> bool:
        """Raises InsufficientScope."""
        scopes = getattr(request.auth, "scopes", None)  # of OAuth and the like; other authentications have none
        if scopes is not None and self.applies_to(request.method) and "read" not in scopes:
            raise InsufficientScope("read", " ".join(scopes))
        return True

    @staticmethod
    def applies_to(method: str | None) -> bool:
        """Whether a method needs both scopes. DELETE returns no data."""
        return method not in (*SAFE_METHODS, "DELETE")
