r"""The routes of endpoints, with and without a slash at the end: `path("webhooks", include("lockstep.webhooks.urls"))`.

They begin with the slash that this `include` lacks. Where APPEND_SLASH is on, Django warns (urls.W002) of patterns that
begin with ^/, because most have a slash too many; \A is the same place.
"""

from django.urls import re_path

from lockstep.rest.routes import ID
from lockstep.webhooks import views

KEY = rf"(?P<key>{ID})"

urlpatterns = [
    re_path(r"\A/?$", views.EndpointListView.as_view()),
    re_path(rf"\A/{KEY}/?$", views.EndpointView.as_view()),
    re_path(rf"\A/{KEY}/rotate/?$", views.RotateView.as_view()),
    re_path(rf"\A/{KEY}/test/?$", views.TestView.as_view()),
    re_path(rf"\A/{KEY}/attempts/?$", views.AttemptListView.as_view()),
    re_path(rf"\A/{KEY}/redeliver/?$", views.RedeliverView.as_view()),
]
