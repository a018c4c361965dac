"""The history of objects that a URL names by their id or their number."""

from uuid import UUID

from lockstep.changes.capture import captured_models
from lockstep.feed.views import HistoryView
from lockstep.rest.errors import NotFound
from lockstep.rest.requests import number_of


class EntityHistoryView(HistoryView):
    """Lists the changes of an object, newest first: who, when, and the values before and after."""

    name = "History"

    def id_in_log(self, model: str, object_id: str) -> str:
        """The id in the log of the object with this id or number. Raises NotFound."""
        if number_of(object_id) is None:
            try:
                return str(UUID(object_id))
            except ValueError as error:
                raise NotFound("There is no such object.") from error
        found = next((one for one in captured_models() if one._meta.label_lower == model), None)
        if found is None or not any(field.name == "number" for field in found._meta.concrete_fields):
            raise NotFound("There is no such object.")
        pk = found._default_manager.filter(number=object_id).values_list("pk", flat=True).first()
        if pk is None:
            raise NotFound("There is no such object.")
        return str(pk)
