"""Each endpoint is a subscriber; it comes with its row and goes with it."""

from lockstep.api.endings import register_ending
from lockstep.delivery.subscriptions import register_family
from lockstep.webhooks.actions import delete_endpoints, disable_endpoints
from lockstep.webhooks.deliver import ENDPOINTS

register_family(ENDPOINTS)
register_ending(account=delete_endpoints, password=disable_endpoints)
