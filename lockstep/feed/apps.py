from django.apps import AppConfig


class FeedConfig(AppConfig):
    name = "lockstep.feed"
    label = "lockstep_feed"
