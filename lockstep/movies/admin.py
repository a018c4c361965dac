"""Movies in the admin: to look at. Their provider changes them, and `manage.py refresh_movies` brings that in."""

from django.contrib import admin

from lockstep.api.admin_site import EntityAdmin, ReadOnly, admin_site
from lockstep.movies.models import Catalogue, Movie, Rating


@admin.register(Movie, site=admin_site)
class MovieAdmin(ReadOnly, EntityAdmin):
    """With the votes, and since when the provider lacks it."""

    made_by_database = ("id", "created", "updated")
    list_display = ("title", "rating", "tally", "missing_since", "updated")
    list_select_related = ("tally",)
    search_fields = ("folded",)
    ordering = ("title", "id")


@admin.register(Rating, site=admin_site)
class RatingAdmin(ReadOnly, EntityAdmin):
    """Who thinks what."""

    made_by_database = ("id", "created", "updated")
    list_display = ("movie", "user", "rating_type", "updated")
    list_select_related = ("movie", "user")
    list_filter = ("rating_type",)
    search_fields = ("movie__folded", "user__username")
    ordering = ("-id",)


@admin.register(Catalogue, site=admin_site)
class CatalogueAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # it takes none at run time
    """How the mirror is."""

    list_display = ("refreshed", "complete", "failures", "outcome", "retry_at")
