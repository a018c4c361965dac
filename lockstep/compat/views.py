"""The literal routes of the predecessor APIs: other names, the same actions."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from lockstep.accounts import actions, sessions
from lockstep.accounts.doors import NO_STORE, SignInView, pair_response
from lockstep.accounts.serializers import CredentialsSerializer, PairSerializer, TokenSerializer
from lockstep.accounts.views import RegistrationView
from lockstep.api.answers import Answer
from lockstep.api.errors import Invalid
from lockstep.api.requests import address_of
from lockstep.compat.serializers import NamedCredentialsSerializer, NamedRegistrationSerializer


class AuthView(SignInView):
    """Issues an opaque bearer token, valid for a month."""

    @extend_schema(
        operation_id="create_token", request=CredentialsSerializer, responses={200: TokenSerializer, 401: None}
    )
    def post(self, request: Request) -> Answer:
        given = CredentialsSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        user = self.signed_in(request, **given.validated_data)
        return Answer({"token": sessions.open_opaque(user, address=address_of(request))}, headers=NO_STORE)


class NamedPairView(SignInView):
    """Issues a pair of JSON Web Tokens, by name and password."""

    credentials = NamedCredentialsSerializer
    name_field = "name"

    @extend_schema(
        operation_id="create_named_pair", request=NamedCredentialsSerializer, responses={200: PairSerializer, 401: None}
    )
    def post(self, request: Request) -> Answer:
        given = NamedCredentialsSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        user = self.signed_in(request, username=given.validated_data["name"], password=given.validated_data["password"])
        return pair_response(sessions.open_pair(user, address=address_of(request)))


class NamedRegisterView(RegistrationView):
    """Registers an account by name; `id` is its number."""

    @extend_schema(
        operation_id="register_named_user",
        request=NamedRegistrationSerializer,
        responses={201: NamedRegistrationSerializer},
    )
    def post(self, request: Request) -> Answer:
        given = NamedRegistrationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            user = actions.register(username=given.validated_data["name"], password=given.validated_data["password"])
        except Invalid as error:
            raise error.renamed(username="name") from error
        return Answer({"id": user.number, "name": user.username}, status=201)
