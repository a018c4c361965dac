"""Every route at a glance. Each answers with and without its trailing slash."""

from django.urls import include, path, re_path

from lockstep.accounts.admin_sign_in import AdminSignInForm, OwnPasswordForm
from lockstep.api.admin_site import admin_site
from lockstep.api.health import HealthView, MetricsView, ProblemListView, ProblemView, ReadinessView, not_found
from lockstep.api.pages import RedocView, SchemaView, SwaggerView
from lockstep.shop import urls as shop

admin_site.login_form, admin_site.own_password_form = AdminSignInForm, OwnPasswordForm

urlpatterns = [
    # Routes are tried one after the other: what is asked most stands first.
    path("api/v1/products", include(shop.products)),
    path("api/v1/orders", include(shop.orders)),
    path("api/v1/bag", include(shop.bag)),
    path("api/v1/tags", include(shop.tags)),
    path("fakeapi/v1/", include("lockstep.posts.urls")),
    re_path(r"^healthz/?$", HealthView.as_view()),
    re_path(r"^readyz/?$", ReadinessView.as_view()),
    re_path(r"^metrics/?$", MetricsView.as_view()),
    re_path(r"^problems/?$", ProblemListView.as_view()),
    re_path(r"^problems/(?P<name>[a-z-]+)/?$", ProblemView.as_view()),
    re_path(r"^api/schema/?$", SchemaView.as_view()),
    re_path(r"^api/schema/swagger-ui/?$", SwaggerView.as_view()),
    re_path(r"^api/schema/redoc/?$", RedocView.as_view()),
    path("", include("lockstep.accounts.urls")),
    path("", include("lockstep.compat.urls")),
    path("api/v1/", include(shop.urlpatterns)),
    path("api/v1/", include("lockstep.feed.urls")),
    path("api/v1/", include("lockstep.defects.urls")),
    path("api/v1/", include("lockstep.movies.urls")),
    path("api/v1/webhooks", include("lockstep.webhooks.urls")),
    path("admin/", admin_site.urls),
    re_path(r"", not_found),
]
