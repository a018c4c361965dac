"""Actions on defects. Each is one transaction; the broadcast follows by delivery."""

from django.db.models.functions import Now
from rest_framework.exceptions import PermissionDenied

from backend.defects.models import Defect
from lockstep.changes.attribution import attributed_transaction
from lockstep.rest.concurrency import ANY_VERSION, Match, lock
from lockstep.rest.requests import by_key
from lockstep.rest.users import AnyUser


def create_defect(*, actor: str, user: AnyUser, comment: str) -> Defect:
    """Creates a defect, reported by this user."""
    with attributed_transaction(actor=actor):
        return Defect.objects.create(user=user, comment=comment)


def update_defect(*, actor: str, key: str, match: Match = ANY_VERSION, **values: str) -> None:
    """Changes columns of a defect; any user may, and the reporter stays. Raises NotFound, PreconditionFailed."""
    with attributed_transaction(actor=actor):
        defect = _locked(key, match)
        Defect.objects.filter(pk=defect.pk).update(**values)


def delete_defect(*, actor: str, key: str, user: AnyUser, match: Match = ANY_VERSION) -> None:
    """Deletes a defect. Raises NotFound, PreconditionFailed, and PermissionDenied for a defect of another user."""
    with attributed_transaction(actor=actor):
        defect = _locked(key, ANY_VERSION)
        if defect.user_id != user.number:
            raise PermissionDenied("Only the user who reported a defect may delete it.")
        match.check(defect.version)
        Defect.objects.filter(pk=defect.pk).update(deleted=Now())


def _locked(key: str, match: Match) -> Defect:
    return lock(Defect.objects.alive(), match, "There is no such defect.", **by_key(key))
