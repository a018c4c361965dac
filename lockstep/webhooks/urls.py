from django.urls import re_path

from lockstep.rest.routes import ID
from lockstep.webhooks import views

KEY = rf"(?P<key>{ID})"

urlpatterns = [
    re_path(r"^/?$", views.EndpointListView.as_view()),
    re_path(rf"^/{KEY}/?$", views.EndpointView.as_view()),
    re_path(rf"^/{KEY}/rotate/?$", views.RotateView.as_view()),
    re_path(rf"^/{KEY}/test/?$", views.TestView.as_view()),
    re_path(rf"^/{KEY}/attempts/?$", views.AttemptListView.as_view()),
    re_path(rf"^/{KEY}/redeliver/?$", views.RedeliverView.as_view()),
]
