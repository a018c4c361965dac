"""Registers the broadcast to the counter, and its audit."""

from django.conf import settings

from backend.defects.broadcast import COUNTER
from backend.defects.gap import counter_check
from lockstep.delivery.audit import register_check
from lockstep.delivery.providers import Provider, register_provider
from lockstep.delivery.subscriptions import register

if settings.COUNTER_URL:
    register(COUNTER)
    register_provider(Provider("counter", subscriptions=(COUNTER.name,)))
    register_check(counter_check)
