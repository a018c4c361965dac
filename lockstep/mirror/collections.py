"""What is mirrored where: declared by an app in its `mirror.py`, carried out here."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from django.db import models

from lockstep.mirror.ceiling import Ceiling


class Client(Protocol):
    """What a provider's client must offer; see `providers/` for what each method raises."""

    def stream(self, collection: str) -> AbstractAsyncContextManager[AsyncIterator[list[Any]]]: ...
    async def get(self, collection: str, remote_id: str) -> dict[str, Any] | None: ...
    async def find(self, collection: str, fields: Mapping[str, str | int]) -> list[dict[str, Any]]: ...
    async def create(self, collection: str, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> str: ...
    async def update(self, collection: str, remote_id: str, body: Mapping[str, Any]) -> None: ...
    async def delete(self, collection: str, remote_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Field:
    """A captured column of ours and what the provider calls it."""

    remote: str
    column: str
    type: Literal["text", "integer"] = "text"


@dataclass(frozen=True, slots=True)
class Parent:
    """The provider's name of the parent's id, our column of it, and the collection where the parent is."""

    remote: str
    column: str
    collection: str


@dataclass(frozen=True)
class Collection:
    """A provider's collection and the model that is its master.

    `look_up` names the remote fields by which an object is sought whose creation got no answer. `numbers` is the
    sequence of the model's `number`: an imported object keeps the provider's id as its number where it is free.
    """

    name: str
    model: type[models.Model]
    fields: tuple[Field, ...]
    look_up: tuple[str, ...]
    numbers: str
    parent: Parent | None = None

    @cached_property
    def remote_names(self) -> tuple[str, ...]:
        """The provider's names of all that is mirrored, the parent's id last."""
        return tuple(field.remote for field in self.fields) + ((self.parent.remote,) if self.parent else ())

    @cached_property
    def remote_numbers(self) -> frozenset[str]:
        """Those of them that are numbers."""
        numbers = {field.remote for field in self.fields if field.type == "integer"}
        return frozenset(numbers | ({self.parent.remote} if self.parent else set()))

    @cached_property
    def remote_types(self) -> tuple[type, ...]:
        """The types of all of them, as JSON gives them."""
        return tuple(int if name in self.remote_numbers else str for name in self.remote_names)

    @property
    def label(self) -> str:
        """The model's label, as the change log has it."""
        return self.model._meta.label_lower


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a worker goes at a provider by itself: see aftermath.py. `second_look` is seconds."""

    ceiling: Ceiling
    second_look: float


@dataclass(frozen=True)
class Mirror:
    """One provider: its collections, parents before children, and how to reach it."""

    provider: str
    collections: tuple[Collection, ...]
    open_client: Callable[[], AbstractAsyncContextManager[Client]]
    limits: Callable[[], Limits]
    concurrency: int = 8

    @property
    def subscription(self) -> str:
        """The name of the subscription that pushes to it."""
        return f"{self.provider}-mirror"

    @cached_property
    def by_label(self) -> dict[str, Collection]:
        """Collections by the label of their model."""
        return {collection.label: collection for collection in self.collections}

    @property
    def keys(self) -> list[str]:
        """How mirror_remoteobject names all its collections."""
        return [self.key(collection.name) for collection in self.collections]

    def key(self, collection: str) -> str:
        """How mirror_remoteobject names a collection."""
        return f"{self.provider}/{collection}"


_registered: dict[str, Mirror] = {}


def register_mirror(mirror: Mirror) -> None:
    """Makes a mirror known to the commands."""
    _registered[mirror.provider] = mirror


def mirror_of(provider: str) -> Mirror:
    """The mirror of a provider. Raises KeyError."""
    return _registered[provider]
