"""Shapes of the predecessor APIs."""

from rest_framework import serializers

from lockstep.accounts.serializers import Password, SignInName, Username
from lockstep.api.serializers import StrictSerializer


class NamedCredentialsSerializer(StrictSerializer):
    """What signs in, the username being called name."""

    name = SignInName()
    password = Password()
    example = {"name": "user", "password": "1234"}


class NamedRegistrationSerializer(StrictSerializer):
    """A new account, the username being called name."""

    id = serializers.IntegerField(read_only=True, help_text="Its number.")
    name = Username()
    password = Password()
    example = {"id": 7, "name": "ada", "password": "a long one, please"}
