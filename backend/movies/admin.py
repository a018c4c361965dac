"""Movies in the admin, read-only: `manage.py refresh_movies` updates them from their provider."""

from django.contrib import admin

from backend.entities.admin_site import EntityAdmin, ReadOnly, admin_site
from backend.movies.models import Catalogue, Movie, Rating


@admin.register(Movie, site=admin_site)
class MovieAdmin(ReadOnly, EntityAdmin):
    """Movies with their votes."""

    made_by_database = ("id", "created", "updated")
    list_display = ("title", "rating", "tally", "missing_since", "updated")
    list_select_related = ("tally",)
    search_fields = ("folded",)
    ordering = ("title", "id")


@admin.register(Rating, site=admin_site)
class RatingAdmin(ReadOnly, EntityAdmin):
    """Ratings by user."""

    made_by_database = ("id", "created", "updated")
    list_display = ("movie", "user", "rating_type", "updated")
    list_select_related = ("movie", "user")
    list_filter = ("rating_type",)
    search_fields = ("movie__folded", "user__username")
    ordering = ("-id",)


@admin.register(Catalogue, site=admin_site)
class CatalogueAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # it takes none at run time
    """The state of the catalogue."""

    list_display = ("refreshed", "complete", "failures", "outcome", "retry_at")
