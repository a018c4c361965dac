"""Permissions beside those of REST framework."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from lockstep.api.errors import InsufficientScope


class Staff(BasePermission):
    """Only staff."""

    message = "This is for staff, and your account is not."

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ANN401 - any view
        return bool(getattr(request.user, "is_staff", False))


class StaffWrite(Staff):
    """Everybody who is signed in reads, staff write."""

    message = "Only staff write this, and your account is not staff."

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ANN401 - any view
        return request.method in SAFE_METHODS or super().has_permission(request, view)


class ReadsToo(BasePermission):
    """Of views whose writes show more than what was written: they need a token that may read as well (decision 40)."""

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ANN401 - any view
        """Raises InsufficientScope."""
        session: Any = request.auth
        if session is not None and self.applies_to(request.method) and "read" not in session.scopes:
            raise InsufficientScope("read", session.scope)
        return True

    @staticmethod
    def applies_to(method: str | None) -> bool:
        """Whether such a method needs both scopes. Deleting shows nothing."""
        return method not in (*SAFE_METHODS, "DELETE")
