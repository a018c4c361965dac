"""Connections beside Django's own, to the same database."""

from typing import Any

from django.db import connections

WANTED = ("host", "port", "user", "password", "dbname", "sslmode", "connect_timeout")


def connection_parameters() -> dict[str, Any]:
    """What psycopg needs to connect to Django's default database."""
    parameters = connections["default"].get_connection_params()
    return {name: parameters[name] for name in WANTED if parameters.get(name) is not None}
