from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "lockstep.webhooks"
    label = "lockstep_webhooks"
