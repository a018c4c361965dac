"""`ChangeHistory`: the History of an object in the admin, from the change log.

    @admin.register(Article)
    class ArticleAdmin(ChangeHistory, admin.ModelAdmin): ...

It shows every committed change, whatever wrote it, and the actions of the admin, some of which change no captured
column, such as a new password. "lockstep.console" must be in INSTALLED_APPS, for its templates; its URLs need not be
included.
"""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst
from django.utils.translation import gettext

from lockstep.changes.capture import capture_of
from lockstep.console.links import address
from lockstep.console.reads.actors import read_actors
from lockstep.console.reads.objects import ChangePage, changes_of, row_of
from lockstep.console.views.base import VIEW
from lockstep.console.views.parameters import number_parameter
from lockstep.console.words import is_storable

__all__ = ["ChangeHistory"]

PER_PAGE = 50
MAX_ACTIONS = 50  # of the admin, beside the changes


class ChangeHistory(ModelAdmin):  # type: ignore[type-arg]  # it takes none at run time
    """Shows the change log as an object's History, page by page. Models that are not captured keep Django's."""

    def has_deleted_history_permission(self, request: HttpRequest) -> bool:
        """Whether the user may see the history of objects that this admin does not show, such as deleted ones.

        By default only users who may see the console, which shows the whole log: an admin that shows each user other
        rows cannot tell whose a deleted one was.
        """
        return self.has_view_or_change_permission(request) and request.user.has_perm(VIEW)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The changes of the object, newest first."""
        capture, key = capture_of(self.model), self._key_in_log(unquote(object_id))
        if capture is None or key is None:
            return super().history_view(request, object_id, extra_context)
        row = self.get_object(request, key)
        is_shown = row is not None
        if is_shown and not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        if not is_shown and not self.has_deleted_history_permission(request):
            return super().history_view(request, object_id, extra_context)  # as for an object that never was
        before = number_parameter(request, "before")
        page = changes_of((capture.label, *capture.was), key, limit=PER_PAGE, before=before)
        row = row or row_of(self.model, key)
        if row is None and not page.changes and before is None:
            return super().history_view(request, object_id, extra_context)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Change history: %s") % (row or key),
            "subtitle": None,
            "object": row,
            "is_shown": is_shown,
            "name": str(row or key),
            "is_first": before is None,
            "actions": self._actions(key) if before is None else [],
            "life_address": address("object", capture.label, key) if request.user.has_perm(VIEW) else "",
            "module_name": str(capfirst(self.opts.verbose_name_plural)),
            "opts": self.opts,
            "preserved_filters": self.get_preserved_filters(request),
            **self._entries(request, page),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name  # for the page's links
        return TemplateResponse(
            request, self.object_history_template or "lockstep/console/object_history.html", context
        )

    def _key_in_log(self, text: str) -> str | None:
        """The primary key as the log has it; None for a text that is none."""
        try:
            return str(self.opts.pk.to_python(text)) if is_storable(text) else None
        except ValidationError:
            return None

    def _entries(self, request: HttpRequest, page: ChangePage) -> dict[str, object]:
        """The changes with their actors, and the number before which the next page begins."""
        actors = read_actors(change.actor for change in page.changes)
        entries = [(change, actors.get(change.actor or "")) for change in page.changes]
        return {"entries": entries, "older": page.older}

    def _actions(self, key: str) -> QuerySet[LogEntry]:
        """What was done to the object in the admin, newest first."""
        kind = ContentType.objects.get_for_model(self.model, for_concrete_model=False)
        entries = LogEntry.objects.filter(object_id=key, content_type=kind).select_related("user")
        return entries.order_by("-action_time")[:MAX_ACTIONS]
