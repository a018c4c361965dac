"""`Authorization: Bearer <token>`: who is asking."""

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from lockstep.accounts.models import Token, User


class BearerAuthentication(BaseAuthentication):
    """One query for a request with a token, none without."""

    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        """The user and token of the request; None when it carries no bearer token.

        Raises AuthenticationFailed (401) for a token that is unknown or expired, or whose user may not sign in.
        """
        scheme, _, secret = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        digest = Token.digest_of(secret.strip().decode("latin-1"))
        token = Token.objects.valid().select_related("user").filter(digest=digest).first()
        if token is None:
            raise AuthenticationFailed("The bearer token is unknown or has expired. Get a new one with POST /auth/.")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="lockstep"'
