from django.apps import AppConfig


class ChangesConfig(AppConfig):
    name = "lockstep.changes"

    def ready(self) -> None:
        from lockstep.changes import checks  # noqa: F401 - registers the system checks
