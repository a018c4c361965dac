from django.apps import AppConfig


class RestConfig(AppConfig):
    name = "lockstep.rest"
    label = "lockstep_rest"

    def ready(self) -> None:
        """Registers the checks."""
        from lockstep.rest import users  # noqa: F401
