from django.apps import AppConfig


class EntitiesConfig(AppConfig):
    name = "backend.entities"

    def ready(self) -> None:
        """Makes lookups that ignore case compare folded texts, and registers problem types and checks."""
        from backend.entities import deployment, problems  # noqa: F401
        from backend.entities.folding import register_lookups

        register_lookups()
