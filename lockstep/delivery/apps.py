from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class DeliveryConfig(AppConfig):
    name = "lockstep.delivery"

    def ready(self) -> None:
        autodiscover_modules("subscribers")
