"""What a worker does for the shop."""

from lockstep.delivery.periodic import PeriodicWork, register_periodic, with_orm
from lockstep.shop.actions import expire_orders

register_periodic(PeriodicWork("order-expiry", 1.0, with_orm(expire_orders)))
