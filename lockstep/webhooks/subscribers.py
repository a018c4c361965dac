"""Each endpoint is a subscriber; it comes with its row and goes with it."""

from lockstep.delivery.subscriptions import register_family
from lockstep.webhooks.deliver import ENDPOINTS

register_family(ENDPOINTS)
