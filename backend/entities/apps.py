from django.apps import AppConfig


class EntitiesConfig(AppConfig):
    name = "backend.entities"

    def ready(self) -> None:
        """Makes lookups that ignore case compare folded texts."""
        from backend.entities.folding import register_lookups

        register_lookups()
