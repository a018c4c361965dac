from django.contrib import admin
from django.urls import include, path
from project.drafts.views import DraftListView, DraftView

from lockstep.feed.views import history_of

urlpatterns = [
    path("admin/", admin.site.urls),
    path("console/", include("lockstep.console.urls")),
    path("webhooks/", include("lockstep.console.owner_urls")),
    path("", include("lockstep.rest.urls")),
    path("api/webhooks", include("lockstep.webhooks.urls")),
    path("api/", include("lockstep.feed.urls")),
    path("api/drafts/", DraftListView.as_view()),
    path("api/drafts/<int:pk>/", DraftView.as_view()),
    path(
        "api/drafts/<int:object_id>/history/",
        history_of("drafts.draft", operation_id="list_draft_history", summary="Lists the changes of a draft."),
    ),
]
