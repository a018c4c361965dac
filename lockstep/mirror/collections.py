"""Declarations of mirrors, which apps make in their `mirror.py`."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, TypeAlias

from django.db import models

from lockstep.mirror.ceiling import Ceiling

__all__ = ["Client", "Collection", "Field", "Limits", "Mirror", "Parent"]

Body: TypeAlias = dict[str, object]  # an object of a provider, or what is sent of one of ours: values of JSON by name


class Client(Protocol):
    """The interface of a provider's client. Its methods raise the errors of lockstep/http/errors.py, and no others."""

    def stream(self, collection: str) -> AbstractAsyncContextManager[AsyncIterator[list[object]]]: ...
    async def get(self, collection: str, remote_id: str) -> Body | None: ...
    async def find(self, collection: str, fields: Mapping[str, object]) -> list[Body]: ...
    async def create(
        self, collection: str, body: Mapping[str, object], *, idempotency_key: str | None = None
    ) -> str: ...
    async def update(self, collection: str, remote_id: str, body: Body) -> None: ...
    async def delete(self, collection: str, remote_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Field:
    """A captured column and the provider's name of it."""

    remote: str
    column: str
    type: Literal["text", "integer"] = "text"


@dataclass(frozen=True, slots=True)
class Parent:
    """The provider's name of the parent's id, our column of it, and the parent's collection."""

    remote: str
    column: str
    collection: str


@dataclass(frozen=True)
class Collection:
    """A provider's collection and the model that is its master.

    `look_up` has the remote fields for finding an object whose creation got no response. `numbers` is the sequence of
    the model's `number`: an imported object keeps the provider's id as its number if it is free.
    """

    name: str
    model: type[models.Model]
    fields: tuple[Field, ...]
    look_up: tuple[str, ...]
    numbers: str
    parent: Parent | None = None

    @cached_property
    def remote_names(self) -> tuple[str, ...]:
        """The provider's names of all mirrored fields, the parent's id last."""
        return tuple(field.remote for field in self.fields) + ((self.parent.remote,) if self.parent else ())

    @cached_property
    def remote_numbers(self) -> frozenset[str]:
        """The remote names of numbers."""
        numbers = {field.remote for field in self.fields if field.type == "integer"}
        return frozenset(numbers | ({self.parent.remote} if self.parent else set()))

    @cached_property
    def remote_types(self) -> tuple[type, ...]:
        """The Python types of all remote fields in JSON."""
        return tuple(int if name in self.remote_numbers else str for name in self.remote_names)

    @property
    def label(self) -> str:
        """The model's label in the change log."""
        return self.model._meta.label_lower


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a worker's changes at a provider: see reconcile.py. `second_look` is in seconds."""

    ceiling: Ceiling
    second_look: float


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """One provider: its collections, parents before children, and how to reach it.

    `sync_command` and `import_command` are the project's commands that log lines and the audit name; `sync_command`
    applies a plan, and shows it with `--plan`.
    """

    provider: str
    collections: tuple[Collection, ...]
    open_client: Callable[[], AbstractAsyncContextManager[Client]]
    limits: Callable[[], Limits]
    sync_command: str
    import_command: str
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
        """The names of all its collections in lockstep_mirror_remoteobject."""
        return [self.key(collection.name) for collection in self.collections]

    def key(self, collection: str) -> str:
        """The name of a collection in lockstep_mirror_remoteobject."""
        return f"{self.provider}/{collection}"


_registered: dict[str, Mirror] = {}


def add_mirror(mirror: Mirror) -> None:
    """Adds a mirror to the registry, for metrics and the console."""
    _registered[mirror.provider] = mirror


def registered_providers() -> list[str]:
    """The sorted names of the mirrored providers."""
    return sorted(_registered)


def registered_mirrors() -> list[Mirror]:
    """The declared mirrors, by provider."""
    return [_registered[provider] for provider in registered_providers()]
