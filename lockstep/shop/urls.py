from django.urls import re_path

from lockstep.api.routes import ID, KEY
from lockstep.shop import views

TAG = rf"(?P<tag>{ID})"

urlpatterns = [
    re_path(r"^products/?$", views.ProductListView.as_view()),
    re_path(rf"^products/{KEY}/?$", views.ProductView.as_view()),
    re_path(rf"^products/{KEY}/tags/{TAG}/?$", views.ProductTagView.as_view()),
    re_path(rf"^users/{KEY}/products/?$", views.StoreView.as_view()),
    re_path(r"^tags/?$", views.TagListView.as_view()),
    re_path(rf"^tags/{TAG}/?$", views.TagView.as_view()),
    re_path(r"^states/?$", views.StateListView.as_view()),
    re_path(r"^bag/?$", views.BagView.as_view()),
    re_path(rf"^bag/items/{KEY}/?$", views.BagItemView.as_view()),
    re_path(r"^bag/order/?$", views.BagOrderView.as_view()),
    re_path(r"^orders/?$", views.OrderListView.as_view()),
    re_path(rf"^orders/{KEY}/?$", views.OrderView.as_view()),
    re_path(rf"^orders/{KEY}/confirm/?$", views.ConfirmView.as_view()),
    re_path(rf"^orders/{KEY}/cancel/?$", views.CancelView.as_view()),
]
