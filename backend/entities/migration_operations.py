"""Operations of migrations."""

import pgtrigger.migrations
from django.db.migrations.state import ProjectState


class AddTrigger(pgtrigger.migrations.AddTrigger):
    """Creates a trigger as pgtrigger does, without rendering the model and its relations anew.

    A trigger is no part of a model's class. A first start has some seventy of them, and each would take longer than
    creating it.
    """

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Adds the trigger to the model's options."""
        options = state.models[app_label, self.model_name].options
        options["triggers"] = [*options.get("triggers", []), self.trigger]
