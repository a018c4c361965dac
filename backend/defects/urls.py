from django.urls import re_path

from backend.defects import views
from lockstep.rest.routes import KEY

urlpatterns = [
    re_path(r"^defects/?$", views.DefectListView.as_view()),
    re_path(rf"^defects/{KEY}/?$", views.DefectView.as_view()),
]
