from django.urls import re_path

from lockstep.feed import views

MODEL = r"(?P<model>[a-z0-9_]+\.[a-z0-9_]+)"

urlpatterns = [
    re_path(r"^changes/?$", views.ChangeListView.as_view()),
    re_path(rf"^history/{MODEL}/(?P<object_id>[^/]{{1,200}})/?$", views.HistoryView.as_view()),
]
