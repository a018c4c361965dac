"""Shapes of signing in, of accounts and of people."""

from typing import Any

from django.contrib.auth.validators import UnicodeUsernameValidator
from rest_framework import serializers

from lockstep.accounts.models import User
from lockstep.api.serializers import StrictSerializer


class Password(serializers.CharField):
    """A password as it was typed: nothing is trimmed."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(max_length=1024, trim_whitespace=False, write_only=True, **options)


class Username(serializers.CharField):
    """Letters, digits and @ . + - _; a name with an @ must be the user's own address (actions.register)."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(max_length=150, validators=[UnicodeUsernameValidator()], **options)

    def to_internal_value(self, data: Any) -> str:  # noqa: ANN401 - REST framework's signature
        """In the form in which names are compared: what looks like another name is that name."""
        return User.normalize_username(super().to_internal_value(data))


class CredentialsSerializer(StrictSerializer):
    """What signs in: {username, password}; an e-mail address is taken as a username."""

    username = serializers.CharField(max_length=254)
    password = Password()


class NameOrEmailSerializer(StrictSerializer):
    """{username or email, password}"""

    username = serializers.CharField(max_length=254, required=False)
    email = serializers.CharField(max_length=254, required=False)
    password = Password()

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        """One of the two names."""
        names = [given.pop(field) for field in ("username", "email") if field in given]
        if len(names) != 1:
            raise serializers.ValidationError("Give either username or email.")
        return {"username": names[0], **given}


class RefreshSerializer(StrictSerializer):
    """{refresh}"""

    refresh = serializers.CharField(max_length=4_096)


class PairSerializer(StrictSerializer):
    """{access, refresh}"""

    access = serializers.CharField()
    refresh = serializers.CharField()


class TokenSerializer(StrictSerializer):
    """{token}"""

    token = serializers.CharField(max_length=4_096)


class RegistrationSerializer(StrictSerializer):
    """{username and/or email, password, first_name, last_name}"""

    username = Username(required=False)
    email = serializers.EmailField(max_length=254, required=False)
    password = Password()
    first_name = serializers.CharField(max_length=150, required=False, allow_blank=True)
    last_name = serializers.CharField(max_length=150, required=False, allow_blank=True)

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Somebody must be called something; an address alone must do as a name."""
        if not given.get("username") and not given.get("email"):
            raise serializers.ValidationError("Give a username, or an email, or both.")
        if not given.get("username"):
            try:
                Username().run_validation(given["email"])
            except serializers.ValidationError as error:
                raise serializers.ValidationError(
                    {"username": ["This address cannot be one: give one, too."]}
                ) from error
        return given


class ProfileSerializer(StrictSerializer):
    """Somebody's own profile."""

    id = serializers.UUIDField(read_only=True)
    number = serializers.IntegerField(read_only=True)
    username = Username(required=False)
    email = serializers.EmailField(max_length=254, required=False, allow_blank=True)
    first_name = serializers.CharField(max_length=150, required=False, allow_blank=True)
    last_name = serializers.CharField(max_length=150, required=False, allow_blank=True)
    is_staff = serializers.BooleanField(read_only=True)
    created = serializers.DateTimeField(read_only=True)
    updated = serializers.DateTimeField(read_only=True)


class PasswordSerializer(StrictSerializer):
    """{current_password, new_password}"""

    current_password = Password()
    new_password = Password()


class PersonSerializer(StrictSerializer):
    """What everybody may see of somebody: no address, no state of the account."""

    id = serializers.UUIDField(read_only=True)
    number = serializers.IntegerField(read_only=True)
    username = serializers.CharField(read_only=True)
    first_name = serializers.CharField(read_only=True)
    last_name = serializers.CharField(read_only=True)
    followers = serializers.IntegerField(read_only=True)
    following = serializers.IntegerField(read_only=True)
    created = serializers.DateTimeField(read_only=True)


def shown_profile(user: User) -> dict[str, Any]:
    """A user to themselves."""
    return {
        "id": user.pk,
        "number": user.number,
        "username": user.username,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "is_staff": user.is_staff,
        "created": user.created,
        "updated": user.updated,
    }


def shown_person(user: Any) -> dict[str, Any]:  # noqa: ANN401 - a user with follow counts
    """A user to everybody."""
    return {
        "id": user.pk,
        "number": user.number,
        "username": user.username,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "followers": user.followers,
        "following": user.following,
        "created": user.created,
    }
