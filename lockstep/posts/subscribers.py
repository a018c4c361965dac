"""What happens after a post or a comment changed: the provider is told. And now and then it is looked at."""

from django.conf import settings

from lockstep.mirror.subscriber import keep_in_step
from lockstep.posts.mirror import JSONPLACEHOLDER

keep_in_step(JSONPLACEHOLDER, drift_check_seconds=settings.DRIFT_CHECK_SECONDS)
