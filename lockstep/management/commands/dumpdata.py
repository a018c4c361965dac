"""Django's `dumpdata` without the engine's tables, which are meaningless in another database."""

from typing import Any

from django.core.management.commands import dumpdata

from lockstep.conf import engine_apps


class Command(dumpdata.Command):
    """Copy whole databases with pg_dump instead: see "Backup and restore" in docs/operations.md."""

    def handle(self, *app_labels: str, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        if not app_labels:
            options["exclude"] = [*options["exclude"], *(app.label for app in engine_apps())]
        super().handle(*app_labels, **options)
