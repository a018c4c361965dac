"""Work of the shop in workers: payments, expiry of orders, the spelling vocabulary, and the audit of the ledger."""

from backend.shop.catalogue.ledger import check_ledger
from backend.shop.orders.actions import expire_orders
from backend.shop.payments.card_tries import forget_tries
from backend.shop.payments.processor import PAYMENTS
from backend.shop.search.vocabulary import index_vocabulary, prune_vocabulary
from lockstep.delivery.audit import register_check
from lockstep.delivery.periodic import PeriodicWork, register_periodic, with_orm
from lockstep.delivery.providers import Provider, register_provider
from lockstep.delivery.subscriptions import register

register(PAYMENTS)
register_provider(Provider("payments", subscriptions=(PAYMENTS.name,)))
register_check(check_ledger)
register_periodic(PeriodicWork("order-expiry", 1.0, with_orm(expire_orders)))
register_periodic(PeriodicWork("search-words", 2.0, with_orm(index_vocabulary)))
register_periodic(PeriodicWork("search-words-gone", 3600.0, with_orm(prune_vocabulary)))
register_periodic(PeriodicWork("card-tries-gone", 3600.0, with_orm(forget_tries)))
