"""Shapes of the sign-in bodies."""

from rest_framework import serializers

from lockstep.api.serializers import StrictSerializer


class CredentialsSerializer(StrictSerializer):
    """What `POST /auth/` takes."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1024, trim_whitespace=False)
