"""The routes of endpoints for their owners: `path("webhooks/", include("lockstep.console.owner_urls"))`.

One signs in at LOGIN_URL, which is the project's.
"""

from django.urls import path

from lockstep.console.views import own_webhooks as views

app_name = "lockstep_owners"
urlpatterns = [
    path("", views.OwnEndpointsView.as_view(), name="webhooks"),
    path("new/", views.CreateView.as_view(), name="new"),
    path("sign-out/", views.SignOutView.as_view(), name="sign_out"),
    path("<uuid:key>/", views.OwnEndpointView.as_view(), name="endpoint"),
    path("<uuid:key>/change/", views.ChangeView.as_view(), name="endpoint_change"),
    path("<uuid:key>/delete/", views.DeleteView.as_view(), name="endpoint_delete"),
    path("<uuid:key>/off/", views.OwnSwitchOffView.as_view(), name="endpoint_off"),
    path("<uuid:key>/on/", views.OwnSwitchOnView.as_view(), name="endpoint_on"),
    path("<uuid:key>/redeliver/", views.RedeliverView.as_view(), name="endpoint_redeliver"),
    path("<uuid:key>/resend/", views.OwnResendView.as_view(), name="endpoint_resend"),
    path("<uuid:key>/rotate/", views.RotateView.as_view(), name="endpoint_rotate"),
    path("<uuid:key>/test/", views.OwnTestView.as_view(), name="endpoint_test"),
]
