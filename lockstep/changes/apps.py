from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ChangesConfig(AppConfig):
    name = "lockstep.changes"

    def ready(self) -> None:
        from lockstep.changes import checks  # noqa: F401 - registers the system checks
        from lockstep.changes.folding import register_lookups
        from lockstep.changes.triggers import let_nobody_ignore

        register_lookups()
        post_migrate.connect(let_nobody_ignore, sender=self)
