from django.urls import re_path

from lockstep.compat import shop, views

KEY = r"(?P<key>[0-9]{1,18}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"

urlpatterns = [
    re_path(r"^auth/?$", views.AuthView.as_view()),
    re_path(r"^api/token/?$", views.NamedPairView.as_view()),
    re_path(r"^api/register/?$", views.NamedRegisterView.as_view()),
    re_path(r"^api/product/?$", shop.NumberedProductListView.as_view()),
    re_path(rf"^api/product/{KEY}/?$", shop.NumberedProductView.as_view()),
    re_path(r"^api/order/?$", shop.FinalOrderView.as_view()),
]
