"""The authentication backend of all sign-in endpoints and of the admin."""

import logging
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from backend.accounts.development import CREDENTIALS
from backend.accounts.models import User

logger = logging.getLogger(__name__)


class NameOrEmailBackend(ModelBackend):
    """Accepts a username or an e-mail address; an unknown name takes as long as a wrong password."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: object
    ) -> User | None:
        """The user with this name and password, if they may sign in."""
        if not username or password is None or "\0" in username:
            return None
        # At most one: a username is never an e-mail address.
        user = User.objects.named(username).order_by().first()
        if user is None or not self.user_can_authenticate(user):
            make_password(password)
            return None
        if not settings.DEBUG and CREDENTIALS.get(user.username) == password:
            logger.warning("refused the development password of %s: change it, or delete the account", user.username)
            return None
        return user if user.check_password(password) else None

    def user_can_authenticate(self, user: Any) -> bool:  # noqa: ANN401 - the base's signature
        """Whether the account is neither deactivated nor deleted."""
        return super().user_can_authenticate(user) and user.deleted is None

    def get_user(self, user_id: object) -> User | None:
        """The user of an admin session, as long as they may sign in."""
        user = User.objects.filter(pk=user_id).first()
        return user if user and self.user_can_authenticate(user) else None
