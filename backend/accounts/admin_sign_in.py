"""Forms of pages for signing in, and for changing the own password, with the same limits of attempts."""

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from backend.accounts.throttling import LoginAttempt
from lockstep.rest.errors import TooManyRequests
from lockstep.rest.requests import address_of


class SignInForm(AuthenticationForm):
    """Counts an attempt before the password is verified (throttling.py)."""

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError for invalid credentials, and for too many attempts."""
        name = self.cleaned_data.get("username", "")
        if not name or self.request is None:
            return super().clean()
        attempt = _counted(name, address_of(self.request))
        cleaned = super().clean()
        attempt.reset()
        return cleaned


class AdminSignInForm(SignInForm, AdminAuthenticationForm):
    """The same for staff alone."""


class OwnPasswordForm(AdminPasswordChangeForm):
    """Counts each attempt with the old password as a login attempt."""

    def __init__(self, *args: Any, address: str | None = None, **options: Any) -> None:  # noqa: ANN401 - the base's
        super().__init__(*args, **options)
        self.address = address

    def clean_old_password(self) -> str:
        """Raises ValidationError for a wrong password, and for too many attempts."""
        attempt = _counted(self.user.get_username(), self.address)
        old: str = super().clean_old_password()
        attempt.reset()
        return old


def _counted(name: str, address: str | None) -> LoginAttempt:
    """A login attempt, which is counted. Raises ValidationError for too many."""
    attempt = LoginAttempt(name, address)
    try:
        attempt.count()
    except TooManyRequests as error:
        raise ValidationError(str(error)) from error
    return attempt
