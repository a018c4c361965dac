"""Django's `flush`, which also empties the change log: tests that commit end with it."""

from typing import Any

from django.core.management.commands import flush
from django.db import connections, transaction

from lockstep.changes.schema_editor import is_followed


class Command(flush.Command):
    """Also empties the log, which refuses TRUNCATE, and declares subscriptions again."""

    def handle(self, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        connection = connections[options["database"]]
        if not is_followed(connection):
            super().handle(**options)
            return
        from lockstep.install import declare_subscriptions, empty_log, has_log  # where there is psycopg

        if not has_log(connection) or options["interactive"]:
            super().handle(**options)
            return
        with transaction.atomic(connection.alias):
            if not connection.savepoint_ids:
                # Captured tables refuse TRUNCATE where it might miss rows.
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            super().handle(**options)
            empty_log(connection)
            declare_subscriptions(connection)
