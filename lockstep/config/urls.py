"""Every route at a glance. Each answers with and without its trailing slash."""

from django.urls import include, path, re_path

from lockstep.accounts.admin_sign_in import AdminSignInForm
from lockstep.api.admin_site import admin_site
from lockstep.api.health import healthz, metrics, not_found, problem_detail, problem_list, readyz

admin_site.login_form = AdminSignInForm

urlpatterns = [
    re_path(r"^healthz/?$", healthz),
    re_path(r"^readyz/?$", readyz),
    re_path(r"^metrics/?$", metrics),
    re_path(r"^problems/?$", problem_list),
    re_path(r"^problems/(?P<name>[a-z-]+)/?$", problem_detail),
    path("fakeapi/v1/", include("lockstep.posts.urls")),
    path("", include("lockstep.accounts.urls")),
    path("", include("lockstep.compat.urls")),
    path("api/v1/", include("lockstep.feed.urls")),
    path("api/v1/webhooks", include("lockstep.webhooks.urls")),
    path("admin/", admin_site.urls),
    re_path(r"", not_found),
]
