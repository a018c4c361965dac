"""The routes: `path("console/", include("lockstep.console.urls"))`."""

from django.apps import apps
from django.urls import path

from lockstep.console.views.audit import AuditView, RequestAuditView
from lockstep.console.views.changes import ChangesView
from lockstep.console.views.dead_letters import DeadLettersView, DeadLetterView, DiscardView, ReplayView
from lockstep.console.views.mirrors import ApplyView, MirrorsView, MirrorView, PlanView
from lockstep.console.views.objects import ObjectView
from lockstep.console.views.overview import OverviewView
from lockstep.console.views.providers import ProvidersView
from lockstep.console.views.runs import RunView
from lockstep.console.views.subscriptions import (
    PauseView,
    ResumeView,
    RewindView,
    SubscriptionsView,
    SubscriptionView,
)
from lockstep.console.views.workers import OperationsView, WorkersView

app_name = "lockstep_console"
urlpatterns = [
    path("", OverviewView.as_view(), name="overview"),
    path("subscriptions/", SubscriptionsView.as_view(), name="subscriptions"),
    path("subscriptions/<str:name>/", SubscriptionView.as_view(), name="subscription"),
    path("subscriptions/<str:name>/pause/", PauseView.as_view(), name="pause"),
    path("subscriptions/<str:name>/resume/", ResumeView.as_view(), name="resume"),
    path("subscriptions/<str:name>/rewind/", RewindView.as_view(), name="rewind"),
    path("dead-letters/", DeadLettersView.as_view(), name="dead_letters"),
    path("dead-letters/replay/", ReplayView.as_view(), name="replay"),
    path("dead-letters/discard/", DiscardView.as_view(), name="discard"),
    path("dead-letters/<uuid:key>/", DeadLetterView.as_view(), name="dead_letter"),
    path("changes/", ChangesView.as_view(), name="changes"),
    path("objects/<str:model>/<path:object_id>/", ObjectView.as_view(), name="object"),
    path("mirrors/", MirrorsView.as_view(), name="mirrors"),
    path("mirrors/<str:provider>/", MirrorView.as_view(), name="mirror"),
    path("mirrors/<str:provider>/plan/", PlanView.as_view(), name="plan"),
    path("runs/<uuid:key>/", RunView.as_view(), name="run"),
    path("runs/<uuid:key>/apply/", ApplyView.as_view(), name="apply"),
    path("audit/", AuditView.as_view(), name="audit"),
    path("audit/make/", RequestAuditView.as_view(), name="request_audit"),
    path("providers/", ProvidersView.as_view(), name="providers"),
    path("workers/", WorkersView.as_view(), name="workers"),
    path("operations/", OperationsView.as_view(), name="operations"),
]
if apps.is_installed("lockstep.webhooks"):
    from lockstep.console.views import webhooks  # needs the packages of that extra

    urlpatterns += [
        path("webhooks/", webhooks.EndpointsView.as_view(), name="webhooks"),
        path("webhooks/<uuid:key>/", webhooks.EndpointView.as_view(), name="webhook"),
        path("webhooks/<uuid:key>/test/", webhooks.TestView.as_view(), name="webhook_test"),
        path("webhooks/<uuid:key>/resend/", webhooks.ResendView.as_view(), name="webhook_resend"),
        path("webhooks/<uuid:key>/off/", webhooks.SwitchOffView.as_view(), name="webhook_off"),
        path("webhooks/<uuid:key>/on/", webhooks.SwitchOnView.as_view(), name="webhook_on"),
    ]
