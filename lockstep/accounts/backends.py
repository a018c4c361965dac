"""Who may sign in, by which name: used by every door and by the admin."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from lockstep.accounts.models import User


class NameOrEmailBackend(ModelBackend):
    """Takes a username or an e-mail address; a wrong name costs as much time as a wrong password."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: object
    ) -> User | None:
        """The user with this name and password, if they may sign in."""
        if not username or password is None or "\0" in username:
            return None
        # No username is an address: there is one account at most.
        users = [user for user in User.objects.named(username)[:2] if self.user_can_authenticate(user)]
        if not users:
            make_password(password)
            return None
        return users[0] if users[0].check_password(password) else None

    def user_can_authenticate(self, user: Any) -> bool:  # noqa: ANN401 - the base's signature
        """Neither switched off nor deleted."""
        return super().user_can_authenticate(user) and user.deleted is None

    def get_user(self, user_id: Any) -> User | None:  # noqa: ANN401 - the base's signature
        """The user of an admin session, as long as they may sign in."""
        user = User.objects.filter(pk=user_id).first()
        return user if user and self.user_can_authenticate(user) else None
