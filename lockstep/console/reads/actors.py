"""Actors of changes and operations by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.urls import NoReverseMatch, reverse

__all__ = ["Actor", "read_actors"]

USER = "user:"


@dataclass(frozen=True, slots=True)
class Actor:
    """An actor as the log has it, its name, and the page of the user in the admin; "" where there is none."""

    text: str
    name: str
    address: str = ""


def read_actors(texts: Iterable[str | None]) -> Mapping[str, Actor]:
    """The actors of these texts ("user:<key>", or a process), by text, with one query. A deleted user has no name."""
    found = {text: Actor(text, text) for text in texts if text}
    model = get_user_model()
    keys = []
    for text in found:
        if text.startswith(USER):
            try:
                key = model._meta.pk.to_python(text.removeprefix(USER))
                model._meta.pk.run_validators(key)
            except ValidationError:
                continue  # the log keeps any text, also a number that no column takes
            keys.append(key)
    users = model._default_manager.filter(pk__in=keys).values_list("pk", model.USERNAME_FIELD) if keys else ()
    for key, name in users:
        text = f"{USER}{key}"
        if text in found:
            found[text] = Actor(text, str(name), _admin_page(key))
    return found


def _admin_page(key: int | str | UUID) -> str:
    meta = get_user_model()._meta
    try:
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[quote(key)])
    except NoReverseMatch:
        return ""  # the project's admin has no users
