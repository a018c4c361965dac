from typing import Any

from django.apps import AppConfig
from django.db import DEFAULT_DB_ALIAS
from django.db.models.signals import post_migrate


class ChangesConfig(AppConfig):
    name = "lockstep.changes"

    def ready(self) -> None:
        from lockstep.changes import checks  # noqa: F401 - registers the system checks
        from lockstep.changes.folding import register_lookups

        register_lookups()
        post_migrate.connect(_protect, sender=self)


def _protect(using: str, **kwargs: Any) -> None:  # noqa: ANN401 - Django's signature
    """After each `migrate`: what it brought is made safe from the sessions that write."""
    from lockstep.changes.protection import protect

    if using == DEFAULT_DB_ALIAS:
        protect(using)
