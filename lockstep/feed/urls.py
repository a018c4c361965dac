from django.urls import re_path

from lockstep.feed import views

MODEL = r"(?P<model>[a-z_]+\.[a-z_]+)"
OBJECT = r"(?P<object_id>[0-9]{1,18}|[0-9a-fA-F-]{36})"

urlpatterns = [
    re_path(r"^changes/?$", views.ChangeListView.as_view()),
    re_path(rf"^products/{OBJECT}/history/?$", views.ProductHistoryView.as_view()),
    re_path(rf"^defects/{OBJECT}/history/?$", views.DefectHistoryView.as_view()),
    re_path(rf"^history/{MODEL}/{OBJECT}/?$", views.HistoryView.as_view()),
]
