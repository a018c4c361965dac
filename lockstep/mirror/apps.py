from django.apps import AppConfig


class MirrorConfig(AppConfig):
    name = "lockstep.mirror"
    label = "lockstep_mirror"
