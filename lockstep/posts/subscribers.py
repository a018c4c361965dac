"""What happens after a post or a comment changed: the provider is told. And now and then it is looked at."""

from django.conf import settings

from lockstep.delivery.periodic import PeriodicWork, register_periodic
from lockstep.delivery.subscriptions import register
from lockstep.mirror.drift import drift_check
from lockstep.mirror.subscriber import mirror_subscriber
from lockstep.posts.mirror import JSONPLACEHOLDER

register(mirror_subscriber(JSONPLACEHOLDER))
register_periodic(PeriodicWork("jsonplaceholder-drift", settings.DRIFT_CHECK_SECONDS, drift_check(JSONPLACEHOLDER)))
