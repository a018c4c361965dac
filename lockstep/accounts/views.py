"""Signing in."""

from django.contrib.auth import authenticate
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from lockstep.accounts.models import Token, User
from lockstep.accounts.serializers import CredentialsSerializer


class AuthView(APIView):
    """`POST /auth/` {"username", "password"} → {"token"}: an opaque bearer token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def post(self, request: Request) -> Response:
        credentials = CredentialsSerializer(data=request.data)
        credentials.is_valid(raise_exception=True)
        user = authenticate(request, **credentials.validated_data)
        if not isinstance(user, User) or user.deleted is not None:
            raise AuthenticationFailed("The username or the password is wrong.")
        return Response({"token": Token.issue(user)})

    def get_authenticate_header(self, request: Request) -> str:
        """Makes the refusal a 401: REST framework asks the authentication classes, and there are none here."""
        return 'Bearer realm="lockstep"'
