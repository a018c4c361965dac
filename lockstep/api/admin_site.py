"""The admin, whose every write is attributed to who clicked."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponseBase

from lockstep.changes.attribution import attributed_transaction

View = Callable[..., HttpResponseBase]


class LockstepAdminSite(AdminSite):
    """Django's admin under our name."""

    site_header = site_title = "Lockstep"
    index_title = "What is here"
    site_url = None  # there is no page beside the admin

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:  # noqa: ANN401 - any view
        return super().admin_view(_attributed(view), cacheable)


def _attributed(view: View) -> View:
    """The view in one transaction that names its user as the actor; reads are left alone."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401 - any view
        if request.method != "POST" or not request.user.is_authenticated:
            return view(request, *args, **kwargs)
        with attributed_transaction(actor=f"user:{request.user.pk}"):
            return view(request, *args, **kwargs)

    return wrapped


admin_site = LockstepAdminSite()
