"""System checks: the console signs in by the project's admin, and has its look."""

from collections.abc import Sequence

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, register
from django.urls import NoReverseMatch, reverse


@register(Tags.urls)
def admin_is_in_the_urls(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """The project's URLs have the admin. Which apps the console needs is lockstep.E040."""
    try:
        reverse("admin:index")
    except NoReverseMatch:
        hint = 'Add path("admin/", admin.site.urls) to the URLs of the project.'
        return [Error("The console signs in by the admin, which no URL leads to.", hint=hint, id="lockstep.E041")]
    return []
