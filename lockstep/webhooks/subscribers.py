"""Registers the family of endpoint subscriptions, and the callbacks of accounts."""

from lockstep.delivery.subscriptions import register_family
from lockstep.rest.endings import register_ending
from lockstep.webhooks.actions import delete_endpoints, disable_endpoints
from lockstep.webhooks.deliver import ENDPOINTS

register_family(ENDPOINTS)
register_ending(account=delete_endpoints, password=disable_endpoints)
