"""Registers the mirror of posts and comments, with its periodic drift check."""

from django.conf import settings

from backend.posts.mirror import JSONPLACEHOLDER
from lockstep.mirror.subscriber import register_mirror

register_mirror(JSONPLACEHOLDER, drift_check_seconds=settings.DRIFT_CHECK_SECONDS)
