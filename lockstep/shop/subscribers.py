"""What a worker does for the shop: payment of confirmed orders, the end of those that nobody confirmed, known words."""

from lockstep.delivery.audit import register_check
from lockstep.delivery.periodic import PeriodicWork, register_periodic, with_orm
from lockstep.delivery.subscriptions import register
from lockstep.shop.actions import expire_orders
from lockstep.shop.card_tries import forget_tries
from lockstep.shop.ledger import check_ledger
from lockstep.shop.payments import CASHIER
from lockstep.shop.search import forget_words, learn_words

register(CASHIER)
register_check(check_ledger)
register_periodic(PeriodicWork("order-expiry", 1.0, with_orm(expire_orders)))
register_periodic(PeriodicWork("search-words", 2.0, with_orm(learn_words)))
register_periodic(PeriodicWork("search-words-gone", 3600.0, with_orm(forget_words)))
register_periodic(PeriodicWork("card-tries-gone", 3600.0, with_orm(forget_tries)))
