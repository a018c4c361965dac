"""Shapes of the predecessor APIs."""

from rest_framework import serializers

from lockstep.accounts.serializers import Password, Username
from lockstep.api.serializers import StrictSerializer


class NamedCredentialsSerializer(StrictSerializer):
    """{name, password}"""

    name = serializers.CharField(max_length=254)
    password = Password()


class NamedRegistrationSerializer(StrictSerializer):
    """{name, password}"""

    id = serializers.IntegerField(read_only=True)
    name = Username()
    password = Password()
