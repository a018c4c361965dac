"""Views of the predecessor APIs: other field names, the same actions."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from backend.accounts import actions, sessions
from backend.accounts.serializers import CredentialsSerializer, PairSerializer, TokenSerializer
from backend.accounts.sign_in_views import NO_STORE, SignInView, pair_response
from backend.accounts.views import RegistrationView
from backend.compat.serializers import NamedCredentialsSerializer, NamedRegistrationSerializer
from lockstep.rest.errors import Invalid
from lockstep.rest.requests import address_of
from lockstep.rest.responses import ApiResponse
from lockstep.rest.serializers import validated


class AuthView(SignInView):
    """Issues an opaque bearer token, valid for a month."""

    @extend_schema(
        operation_id="create_token", request=CredentialsSerializer, responses={200: TokenSerializer, 401: None}
    )
    def post(self, request: Request) -> ApiResponse:
        user = self.signed_in(request, **validated(CredentialsSerializer, request.data))
        return ApiResponse({"token": sessions.open_opaque(user, address=address_of(request))}, headers=NO_STORE)


class NamedPairView(SignInView):
    """Issues a pair of JSON Web Tokens, by name and password."""

    credentials = NamedCredentialsSerializer
    name_field = "name"

    @extend_schema(
        operation_id="create_token_pair_by_name",
        request=NamedCredentialsSerializer,
        responses={200: PairSerializer, 401: None},
    )
    def post(self, request: Request) -> ApiResponse:
        values = validated(NamedCredentialsSerializer, request.data)
        user = self.signed_in(request, username=values["name"], password=values["password"])
        return pair_response(sessions.open_pair(user, address=address_of(request)))


class NamedRegisterView(RegistrationView):
    """Registers an account by name; `id` is its number."""

    @extend_schema(
        operation_id="register_user_by_name",
        request=NamedRegistrationSerializer,
        responses={201: NamedRegistrationSerializer},
    )
    def post(self, request: Request) -> ApiResponse:
        values = validated(NamedRegistrationSerializer, request.data)
        try:
            user = actions.register(username=values["name"], password=values["password"])
        except Invalid as error:
            raise error.renamed(username="name") from error
        return ApiResponse({"id": user.number, "name": user.username}, status=201)
