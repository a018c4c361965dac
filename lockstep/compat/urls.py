from django.urls import re_path

from lockstep.compat import views

urlpatterns = [
    re_path(r"^auth/?$", views.AuthView.as_view()),
    re_path(r"^api/token/?$", views.NamedPairView.as_view()),
    re_path(r"^api/register/?$", views.NamedRegisterView.as_view()),
]
