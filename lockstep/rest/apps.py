from django.apps import AppConfig


class RestConfig(AppConfig):
    name = "lockstep.rest"
    label = "lockstep_rest"

    def ready(self) -> None:
        """Registers the checks; those of the core too, which say that the core is not installed."""
        from lockstep.changes import checks  # noqa: F401
        from lockstep.rest import users  # noqa: F401
