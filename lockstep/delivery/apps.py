from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class DeliveryConfig(AppConfig):
    name = "lockstep.delivery"

    def ready(self) -> None:
        from lockstep.delivery import housekeeping, partitions  # noqa: F401 - register their periodic work

        autodiscover_modules("subscribers")
        post_migrate.connect(_declare_subscriptions, sender=self)


def _declare_subscriptions(sender: AppConfig, using: str, **kwargs: Any) -> None:  # noqa: ANN401 - Django's signature
    """Subscriptions begin with their migration, not with the first worker: what is written in between is delivered.

    They are what this code declares from here on, also where a worker of another version declared otherwise.
    """
    from django.db import connections

    from lockstep.delivery.database import SQL
    from lockstep.delivery.subscriptions import registered

    if using == "default":
        with connections[using].cursor() as cursor:
            for subscriber in registered():
                cursor.execute(SQL["upkeep"]["declare_subscription"], subscriber.row)
