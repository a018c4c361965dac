"""All models of the shop, by subject: Django looks for them here."""

from backend.shop.catalogue.models import Movement, Product, ProductTag, Seller, Tag
from backend.shop.orders.models import Bag, BagItem, Order, OrderTransition
from backend.shop.payments.models import CardTry, Payment
from backend.shop.search.models import PendingVocabulary, SearchEntry, SearchWord

__all__ = [
    "Bag",
    "BagItem",
    "CardTry",
    "Movement",
    "Order",
    "OrderTransition",
    "Payment",
    "PendingVocabulary",
    "Product",
    "ProductTag",
    "SearchEntry",
    "SearchWord",
    "Seller",
    "Tag",
]
