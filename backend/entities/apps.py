from django.apps import AppConfig


class EntitiesConfig(AppConfig):
    name = "backend.entities"

    def ready(self) -> None:
        """Makes lookups that ignore case compare folded texts, and registers the checks of a deployment."""
        from backend.entities import deployment  # noqa: F401
        from backend.entities.folding import register_lookups

        register_lookups()
