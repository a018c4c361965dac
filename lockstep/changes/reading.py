"""`lockstep.history`: the changes of one object."""

from typing import TYPE_CHECKING

from django.db import models

from lockstep.changes.capture import capture_of
from lockstep.conf import lockstep_settings

if TYPE_CHECKING:
    from lockstep.changes.models import ChangeQuerySet


def history(instance: models.Model) -> "ChangeQuerySet":
    """All changes of an object in the log, oldest first, also those under former labels of its model.

    Raises ValueError for an object of a model that is not captured.
    """
    from lockstep.changes.models import Change

    capture = capture_of(type(instance))
    if capture is None:
        raise ValueError(f"{type(instance)._meta.label} is not captured.")
    rows = Change.objects.using(lockstep_settings.DATABASE)
    return rows.filter(model__in=(capture.label, *capture.was)).history(instance.pk)
