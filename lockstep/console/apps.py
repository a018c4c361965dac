from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "lockstep.console"
    label = "lockstep_console"

    def ready(self) -> None:
        """Registers the checks."""
        from lockstep.console import checks  # noqa: F401
