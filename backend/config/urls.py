"""All routes. Each works with and without its trailing slash, except the pages below `admin/`, `console/` and
`webhooks/`."""

from django.urls import include, path, re_path

from backend.accounts.admin_sign_in import AdminSignInForm, OwnPasswordForm
from backend.entities.admin_site import admin_site
from backend.shop import urls as shop
from lockstep.rest.probes import HealthView, MetricsView, ReadinessView
from lockstep.rest.problem_views import not_found
from lockstep.rest.schema_views import RedocView, SchemaView, SwaggerView

admin_site.login_form, admin_site.own_password_form = AdminSignInForm, OwnPasswordForm

urlpatterns = [
    # Routes are tried in order: the most frequent ones come first.
    path("api/v1/products", include(shop.products)),
    path("api/v1/orders", include(shop.orders)),
    path("api/v1/bag", include(shop.bag)),
    path("api/v1/tags", include(shop.tags)),
    path("fakeapi/v1/", include("backend.posts.urls")),
    re_path(r"^healthz/?$", HealthView.as_view()),
    re_path(r"^readyz/?$", ReadinessView.as_view()),
    re_path(r"^metrics/?$", MetricsView.as_view()),
    path("", include("lockstep.rest.urls")),
    re_path(r"^api/schema/?$", SchemaView.as_view()),
    re_path(r"^api/schema/swagger-ui/?$", SwaggerView.as_view()),
    re_path(r"^api/schema/redoc/?$", RedocView.as_view()),
    path("", include("backend.accounts.urls")),
    path("", include("backend.compat.urls")),
    path("api/v1/", include(shop.urlpatterns)),
    path("api/v1/", include("backend.entities.urls")),
    path("api/v1/", include("backend.defects.urls")),
    path("api/v1/", include("backend.movies.urls")),
    path("api/v1/webhooks", include("lockstep.webhooks.urls")),
    path("", include("backend.home.urls")),
    path("console/", include("lockstep.console.urls")),
    path("webhooks/", include("lockstep.console.owner_urls")),
    path("admin/", admin_site.urls),
    re_path(r"", not_found),
]
