from django.urls import re_path

from lockstep.api.routes import KEY
from lockstep.compat import shop, views
from lockstep.defects.views import DefectListView, DefectView

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
