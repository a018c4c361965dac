"""The engine's settings: `LOCKSTEP = {"RETENTION_DAYS": 30}` in the project's settings. Every key is optional."""

from collections.abc import Mapping, Sequence

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import mail
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


class LockstepSettings:
    """Each key with its default. Values are read from the project's settings at each access."""

    # The alias of the database with the change log. Models that a router puts elsewhere cannot be captured.
    DATABASE: str = "default"
    # How many days the change log is kept. A week is dropped once it is older and no subscription needs it.
    RETENTION_DAYS: int = 30
    # How many days recorded attempts are kept.
    ATTEMPT_RETENTION_DAYS: int = 7
    # Labels of apps whose models must all be captured or have a reason: `uncaptured = "<reason>"`.
    CAPTURED_APPS: Sequence[str] = ()
    # The role of web server and workers where it does not own the tables; `migrate` grants it its rights.
    APPLICATION_ROLE: str = ""
    # Whether `migrate` also protects triggers of django-pgtrigger.
    SECURE_PGTRIGGERS: bool = False
    # The address at which a worker serves /healthz, /readyz and /metrics; port 0: none.
    WORKER_METRICS_HOST: str = "127.0.0.1"
    WORKER_METRICS_PORT: int = 0
    # Whether REST views save time where that changes no response; False is for measurements and for debugging.
    REST_FASTPATH: bool = True

    def __getattribute__(self, name: str) -> object:
        given = given_settings()
        return given[name] if name.isupper() and name in given else super().__getattribute__(name)


def given_settings() -> Mapping[str, object]:
    """The project's LOCKSTEP setting; `check` reports unknown keys."""
    given: Mapping[str, object] = getattr(settings, "LOCKSTEP", {})
    return given


def known_settings() -> set[str]:
    """The names of all settings."""
    return {name for name in LockstepSettings.__annotations__ if name.isupper()}


lockstep_settings = LockstepSettings()


def log_connection() -> BaseDatabaseWrapper:
    """This thread's connection to the database with the change log."""
    return connections[lockstep_settings.DATABASE]


def has_log_database() -> bool:
    """Whether that database is PostgreSQL, and can have a change log."""
    return log_connection().vendor == "postgresql"


def is_testing() -> bool:
    """Whether Django's test environment is set up: its databases are dropped, so connections must be closed."""
    return hasattr(mail, "outbox")


def engine_apps() -> list[AppConfig]:
    """The installed apps of the engine."""
    return [app for app in apps.get_app_configs() if app.name.partition(".")[0] == "lockstep"]
