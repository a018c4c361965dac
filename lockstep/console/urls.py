"""The routes: `path("console/", include("lockstep.console.urls"))`."""

from django.urls import path

from lockstep.console.views.overview import OverviewView
from lockstep.console.views.workers import OperationsView, WorkersView

app_name = "lockstep_console"
urlpatterns = [
    path("", OverviewView.as_view(), name="overview"),
    path("workers/", WorkersView.as_view(), name="workers"),
    path("operations/", OperationsView.as_view(), name="operations"),
]
