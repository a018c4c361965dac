from django.urls import re_path

from backend.compat import shop, views
from backend.defects.views import DefectListView, DefectView
from lockstep.rest.routes import KEY

urlpatterns = [
    re_path(r"^auth/?$", views.AuthView.as_view()),
    re_path(r"^api/token/?$", views.NamedPairView.as_view()),
    re_path(r"^api/register/?$", views.NamedRegisterView.as_view()),
    re_path(r"^api/product/?$", shop.NumberedProductListView.as_view()),
    re_path(rf"^api/product/{KEY}/?$", shop.NumberedProductView.as_view()),
    re_path(r"^api/order/?$", shop.FinalOrderView.as_view()),
    re_path(r"^api/defects/?$", DefectListView.as_view()),
    re_path(rf"^api/defects/{KEY}/?$", DefectView.as_view()),
]
