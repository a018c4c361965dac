"""Serializers of sign-ins, accounts and public profiles."""

from typing import Any

from rest_framework import serializers

from backend.accounts.models import MAX_NAME, HandleValidator
from backend.entities.addresses import MAX_ADDRESS, readable_address, stored_address
from lockstep.rest import fields, text
from lockstep.rest.serializers import ProblemSerializer, StrictSerializer

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwMTk4In0.c2lnbmF0dXJl"  # an example


class Password(serializers.CharField):
    """A password, which is not trimmed."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(max_length=1024, trim_whitespace=False, write_only=True, **options)


class Username(fields.Text):
    """A username: letters, digits and . + - _, but no e-mail address, because usernames are public."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(max_length=MAX_NAME, validators=[HandleValidator()], **options)

    def to_internal_value(self, data: object) -> str:
        """The normalised name: names that look the same are equal."""
        name = super().to_internal_value(data)
        if len(name) > MAX_NAME:
            self.fail("max_length", max_length=MAX_NAME)
        try:
            text.check_visible(name)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error
        return text.nfkc(name)


class Address(fields.Email):
    """An e-mail address in normalised form, with one spelling of each domain."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(max_length=MAX_ADDRESS, **options)

    def to_internal_value(self, data: object) -> str:
        """The address in NFKC, with an ASCII domain."""
        address = super().to_internal_value(data)
        if len(address) > MAX_ADDRESS:
            self.fail("max_length", max_length=MAX_ADDRESS)
        try:
            return stored_address(address)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error


class SignInName(serializers.CharField):
    """A username or an e-mail address, which is not trimmed."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(max_length=MAX_ADDRESS, trim_whitespace=False, **options)


class CredentialsSerializer(StrictSerializer):
    """A username or an e-mail address, and a password."""

    username = SignInName()
    password = Password()
    example = {"username": "user", "password": "1234"}


class NameOrEmailSerializer(StrictSerializer):
    """A username or an email, and a password."""

    username = SignInName(required=False)
    email = SignInName(required=False)
    password = Password()
    example = {"username": "user", "password": "1234"}

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        """Raises ValidationError unless there is exactly one of the two names."""
        names = [attrs.pop(field) for field in ("username", "email") if field in attrs]
        if len(names) != 1:
            raise serializers.ValidationError("Send either username or email.")
        return {"username": names[0], **attrs}


class RefreshSerializer(StrictSerializer):
    """A refresh token."""

    refresh = fields.Text(max_length=4_096)
    example = {"refresh": JWT}


class PairSerializer(serializers.Serializer[object]):
    """An access token and a refresh token."""

    access = serializers.CharField()
    refresh = serializers.CharField()
    example = {"access": JWT, "refresh": JWT}


class TokenSerializer(StrictSerializer):
    """A token."""

    token = fields.Text(max_length=4_096)
    example = {"token": "lsk_w1ZkTk0yQ0o5Z3h0d2JtQ1hXb2pYc0Z4a2p6U2Q"}


class RegistrationSerializer(StrictSerializer):
    """A new account: username or email, or both, and a password."""

    username = Username(required=False)
    email = Address(required=False)
    password = Password()
    first_name = fields.Text(max_length=MAX_NAME, required=False, allow_blank=True)
    last_name = fields.Text(max_length=MAX_NAME, required=False, allow_blank=True)
    example = {"username": "ada", "email": "ada@example.com", "password": "a long one, please", "first_name": "Ada"}

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        """Raises ValidationError without a username and an email."""
        if not attrs.get("username") and not attrs.get("email"):
            raise serializers.ValidationError("Send a username, an email, or both.")
        return attrs


class ProfileSerializer(StrictSerializer):
    """The user's own profile."""

    id = serializers.UUIDField(read_only=True)
    number = serializers.IntegerField(read_only=True)
    username = Username(required=False)
    email = Address(required=False, allow_blank=True)
    first_name = fields.Text(max_length=MAX_NAME, required=False, allow_blank=True)
    last_name = fields.Text(max_length=MAX_NAME, required=False, allow_blank=True)
    is_staff = serializers.BooleanField(read_only=True)
    created = serializers.DateTimeField(read_only=True)
    updated = serializers.DateTimeField(read_only=True)
    example = {
        "id": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b",
        "number": 7,
        "username": "ada",
        "email": "ada@example.com",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "is_staff": False,
        "created": "2026-01-31T12:00:00Z",
        "updated": "2026-01-31T12:00:00Z",
    }

    @classmethod
    def represent(cls, instance: object) -> dict[str, object]:
        """The profile, with the domain of its address in Unicode."""
        profile = super().represent(instance)
        return {**profile, "email": readable_address(str(profile["email"]))}


class OAuthGrantSerializer(serializers.Serializer[object]):
    """A form of RFC 6749: username and password, or a refresh token, with the client here or by HTTP Basic."""

    grant_type = serializers.ChoiceField(["password", "refresh_token"])
    username = serializers.CharField(required=False)
    password = serializers.CharField(required=False)
    refresh_token = serializers.CharField(required=False)
    scope = serializers.CharField(required=False, help_text="`read`, `write`, or both separated by a space.")
    client_id = serializers.CharField(required=False)
    client_secret = serializers.CharField(required=False)
    example = {"grant_type": "password", "username": "user", "password": "1234", "client_id": "lockstep-dev"}


class OAuthTokensSerializer(serializers.Serializer[object]):
    """An access token and a refresh token by OAuth 2."""

    access_token = serializers.CharField()
    token_type = serializers.ChoiceField(["Bearer"])
    expires_in = serializers.IntegerField(help_text="The lifetime of the access token in seconds.")
    refresh_token = serializers.CharField()
    scope = serializers.CharField()
    example = {
        "access_token": "lso_w1ZkTk0yQ0o5Z3h0d2JtQ1hXb2pYc0Z4a2p6U2Q",
        "token_type": "Bearer",
        "expires_in": 3600,
        "refresh_token": "lsr_Q0o5Z3h0d2JtQ1hXb2pYc0Z4a2p6U2Rw1ZkTk0y",
        "scope": "read write",
    }


class OAuthTokenFormSerializer(serializers.Serializer[object]):
    """A form of RFC 7009 or RFC 7662: a token, with the client here or by HTTP Basic where it is required."""

    token = fields.Text(max_length=4_096)
    token_type_hint = serializers.CharField(required=False)
    client_id = serializers.CharField(required=False)
    client_secret = serializers.CharField(required=False)
    example = {"token": "lso_w1ZkTk0yQ0o5Z3h0d2JtQ1hXb2pYc0Z4a2p6U2Q", "client_id": "lockstep-dev"}


class OAuthProblemSerializer(ProblemSerializer):
    """A problem, with the members of RFC 6749."""

    error = serializers.CharField(required=False, help_text="The error code of OAuth 2, such as `invalid_grant`.")
    error_description = serializers.CharField(required=False)
    error_uri = serializers.CharField(required=False)
    optional = ("error", "error_description", "error_uri")
    example = {
        "type": "/problems/oauth-refused",
        "title": "OAuth 2 refused the request",
        "status": 400,
        "detail": "Invalid credentials given.",
        "errors": [],
        "error": "invalid_grant",
        "error_description": "Invalid credentials given.",
    }


class IntrospectionSerializer(serializers.Serializer[object]):
    """The state of a token (RFC 7662)."""

    active = serializers.BooleanField()
    scope = serializers.CharField(required=False)
    username = serializers.CharField(required=False)
    sub = serializers.UUIDField(required=False, help_text="The user's id.")
    client_id = serializers.CharField(required=False, allow_null=True)
    token_type = serializers.ChoiceField(["Bearer"], required=False)
    iat = serializers.IntegerField(required=False, help_text="When it was issued, in seconds since 1970.")
    exp = serializers.IntegerField(required=False, help_text="When it expires, in seconds since 1970.")
    optional = ("scope", "username", "sub", "client_id", "token_type", "iat", "exp")
    example = {"active": False}


class PasswordSerializer(StrictSerializer):
    """The new password and the current one."""

    current_password = Password()
    new_password = Password()
    keep_webhooks = fields.Boolean(
        required=False,
        help_text="Leaves your webhooks on. Otherwise they are switched off: the old password may have created them.",
    )
    example = {"current_password": "a long one, please", "new_password": "a longer one, please"}


class DeletionSerializer(StrictSerializer):
    """The password of the account to delete."""

    password = Password()
    example = {"password": "a long one, please"}


class PersonSerializer(StrictSerializer):
    """The public profile of a user."""

    id = serializers.UUIDField(read_only=True)
    number = serializers.IntegerField(read_only=True)
    username = serializers.CharField(read_only=True)
    first_name = serializers.CharField(read_only=True)
    last_name = serializers.CharField(read_only=True)
    followers = serializers.IntegerField(read_only=True)
    following = serializers.IntegerField(read_only=True)
    created = serializers.DateTimeField(read_only=True)
    example = {
        "id": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b",
        "number": 7,
        "username": "ada",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "followers": 3,
        "following": 2,
        "created": "2026-01-31T12:00:00Z",
    }
