from django.urls import re_path

from backend.shop.catalogue.views import (
    ProductListView,
    ProductTagView,
    ProductView,
    StoreView,
    TagListView,
    TagView,
)
from backend.shop.orders.views import BagItemView, BagOrderView, BagView, CancelView, OrderListView, OrderView
from backend.shop.payments.views import ConfirmView
from backend.shop.states.views import StateListView
from lockstep.rest.routes import KEY, NAME

TAG = rf"(?P<tag>{NAME})"  # its id or its name

products = [
    re_path(r"^/?$", ProductListView.as_view()),
    re_path(rf"^/{KEY}/?$", ProductView.as_view()),
    re_path(rf"^/{KEY}/tags/{TAG}/?$", ProductTagView.as_view()),
]
orders = [
    re_path(r"^/?$", OrderListView.as_view()),
    re_path(rf"^/{KEY}/?$", OrderView.as_view()),
    re_path(rf"^/{KEY}/confirm/?$", ConfirmView.as_view()),
    re_path(rf"^/{KEY}/cancel/?$", CancelView.as_view()),
]
bag = [
    re_path(r"^/?$", BagView.as_view()),
    re_path(rf"^/items/{KEY}/?$", BagItemView.as_view()),
    re_path(r"^/order/?$", BagOrderView.as_view()),
]
tags = [
    re_path(r"^/?$", TagListView.as_view()),
    re_path(rf"^/{TAG}/?$", TagView.as_view()),
]

urlpatterns = [
    re_path(rf"^users/{KEY}/products/?$", StoreView.as_view()),
    re_path(r"^states/?$", StateListView.as_view()),
]
