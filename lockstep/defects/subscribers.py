"""What happens after a defect was created or deleted: the counter is told."""

from django.conf import settings

from lockstep.defects.broadcast import COUNTER
from lockstep.defects.gap import counter_check
from lockstep.delivery.audit import register_check
from lockstep.delivery.subscriptions import register

if settings.COUNTER_URL:
    register(COUNTER)
    register_check(counter_check)
