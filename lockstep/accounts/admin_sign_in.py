"""Signing in to the admin, and one's own password there: the same account, the same limits."""

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.core.exceptions import ValidationError

from lockstep.accounts.throttling import Try
from lockstep.api.errors import TooManyRequests
from lockstep.api.requests import address_of


class AdminSignInForm(AdminAuthenticationForm):
    """Counts a try before the password is looked at (throttling.py)."""

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError for what Django refuses, and for too many tries."""
        name = self.cleaned_data.get("username", "")
        if not name or self.request is None:
            return super().clean()
        attempt = Try(name, address_of(self.request))
        try:
            attempt.count()
        except TooManyRequests as error:
            raise ValidationError(str(error)) from error
        cleaned = super().clean()
        attempt.forgive()
        return cleaned


class OwnPasswordForm(AdminPasswordChangeForm):
    """Counts each try of the old password, as any other try of this account from this address."""

    def __init__(self, *args: Any, address: str | None = None, **options: Any) -> None:  # noqa: ANN401 - the base's
        super().__init__(*args, **options)
        self.address = address

    def clean_old_password(self) -> str:
        """Raises ValidationError for a wrong password, and for too many tries."""
        attempt = Try(self.user.get_username(), self.address)
        try:
            attempt.count()
        except TooManyRequests as error:
            raise ValidationError(str(error)) from error
        old: str = super().clean_old_password()
        attempt.forgive()
        return old
