"""Serializers of the predecessor APIs."""

from rest_framework import serializers

from backend.accounts.serializers import Password, SignInName, Username
from lockstep.rest.serializers import StrictSerializer


class NamedCredentialsSerializer(StrictSerializer):
    """A username, called `name`, and a password."""

    name = SignInName()
    password = Password()
    example = {"name": "user", "password": "1234"}


class NamedRegistrationSerializer(StrictSerializer):
    """A new account, whose username is called `name`."""

    id = serializers.IntegerField(read_only=True, help_text="Its number.")
    name = Username()
    password = Password()
    example = {"id": 7, "name": "ada", "password": "a long one, please"}
