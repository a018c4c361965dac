from django.urls import re_path

from lockstep.api.routes import KEY
from lockstep.defects import views

urlpatterns = [
    re_path(r"^defects/?$", views.DefectListView.as_view()),
    re_path(rf"^defects/{KEY}/?$", views.DefectView.as_view()),
]
