from django.urls import re_path

from backend.shop import views
from lockstep.rest.routes import KEY, NAME

TAG = rf"(?P<tag>{NAME})"  # its id or its name

products = [
    re_path(r"^/?$", views.ProductListView.as_view()),
    re_path(rf"^/{KEY}/?$", views.ProductView.as_view()),
    re_path(rf"^/{KEY}/tags/{TAG}/?$", views.ProductTagView.as_view()),
]
orders = [
    re_path(r"^/?$", views.OrderListView.as_view()),
    re_path(rf"^/{KEY}/?$", views.OrderView.as_view()),
    re_path(rf"^/{KEY}/confirm/?$", views.ConfirmView.as_view()),
    re_path(rf"^/{KEY}/cancel/?$", views.CancelView.as_view()),
]
bag = [
    re_path(r"^/?$", views.BagView.as_view()),
    re_path(rf"^/items/{KEY}/?$", views.BagItemView.as_view()),
    re_path(r"^/order/?$", views.BagOrderView.as_view()),
]
tags = [
    re_path(r"^/?$", views.TagListView.as_view()),
    re_path(rf"^/{TAG}/?$", views.TagView.as_view()),
]

urlpatterns = [
    re_path(rf"^users/{KEY}/products/?$", views.StoreView.as_view()),
    re_path(r"^states/?$", views.StateListView.as_view()),
]
