"""The routes: `path("console/", include("lockstep.console.urls"))`."""

from django.urls import path

from lockstep.console.views.changes import ChangesView
from lockstep.console.views.objects import ObjectView
from lockstep.console.views.overview import OverviewView
from lockstep.console.views.workers import OperationsView, WorkersView

app_name = "lockstep_console"
urlpatterns = [
    path("", OverviewView.as_view(), name="overview"),
    path("changes/", ChangesView.as_view(), name="changes"),
    path("objects/<str:model>/<path:object_id>/", ObjectView.as_view(), name="object"),
    path("workers/", WorkersView.as_view(), name="workers"),
    path("operations/", OperationsView.as_view(), name="operations"),
]
