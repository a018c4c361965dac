"""Registers the family of endpoint subscriptions, and the removal of those that lost their endpoint."""

from lockstep.delivery.periodic import PeriodicWork, register_periodic, with_orm
from lockstep.delivery.subscriptions import register_family
from lockstep.webhooks.actions import remove_orphans
from lockstep.webhooks.deliver import ENDPOINTS

register_family(ENDPOINTS)
register_periodic(PeriodicWork("orphaned-webhooks", 3600.0, with_orm(remove_orphans)))
