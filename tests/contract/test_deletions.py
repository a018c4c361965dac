"""Whatever can be deleted is deleted, whatever hangs from it: over the API, in the admin and by a command."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import Application
from pytest_django import DjangoDbBlocker

from backend.accounts.models import Session, User
from backend.entities.admin_site import admin_site
from backend.shop.catalogue.actions import add_tag
from backend.shop.models import Order, PendingVocabulary, Product, SearchEntry, Tag
from backend.shop.orders.bags import order_bag, put_in_bag
from backend.shop.payments.actions import confirm_order
from lockstep.console.models import Difference, Run
from lockstep.delivery.models import Attempt, DeadLetter, Delivery, Lane, Subscription
from lockstep.mirror.tests.support import run_command
from tests.admin_pages import admin_of
from tests.security.test_authorisation_matrix import made_for
from tests.support import Cast, empty_tables

pytestmark = pytest.mark.django_db

OURS = ("backend.", "lockstep.")
UNDECLARED = "of-yesterday"
# Tables of the library that are not written: tokens of OAuth 2 are our sessions (decision 16).
UNUSED = {"Grant", "AccessToken", "RefreshToken", "IDToken", "DeviceGrant"}
# What is deleted by its owner; names in braces are objects of the owner.
BY_OWNER = [
    "/fakeapi/v1/posts/delete/{post}/",
    "/fakeapi/v1/posts/{post}/comments/delete/{comment}/",
    "/api/v1/products/{product}/",
    "/api/product/{product}/",
    "/api/v1/products/{product}/tags/{tag}/",
    "/api/v1/bag/items/{product}/",
    "/api/v1/defects/{defect}/",
    "/api/v1/movies/ratings/{rating}/",
    "/api/v1/webhooks/{endpoint}/",
    "/api/v1/users/{followed}/follow/",
    "/api/v1/users/me/",
]
MAKE_ONE = f"make one in {__name__}.everything_of"
Relation = tuple[type[models.Model], "models.ForeignKey[Any, Any]"]


def relations() -> Iterator[Relation]:
    """Every foreign key to one of our tables, including the links of many-to-many fields."""
    for model in apps.get_models(include_auto_created=True):
        if model._meta.proxy or model.__name__ in UNUSED:
            continue
        for field in model._meta.concrete_fields:
            if isinstance(field, models.ForeignKey) and field.related_model.__module__.startswith(OURS):  # type: ignore[union-attr]
                yield model, field


def everything_of(cast: Cast) -> dict[str, Any]:
    """The owner's things, and of each relation a row that hangs from one of them."""
    owner, colleague = cast.owner.user, cast.colleague.user
    actor = f"user:{owner.pk}"
    made = made_for(owner) | {"followed": colleague.pk}
    product, tag = Product.objects.get(pk=made["product"]), Tag.objects.get(pk=made["tag"])
    add_tag(actor=actor, product=product, tag=tag)
    confirm_order(actor=actor, order=Order.objects.get(), token="tok_1")
    put_in_bag(actor=actor, user=owner, product=product, quantity=1)
    order_bag(actor=actor, user=owner)
    put_in_bag(actor=actor, user=owner, product=product, quantity=1)
    SearchEntry.objects.get_or_create(product=product, defaults={"document": ""})
    PendingVocabulary.objects.get_or_create(product=product)
    cast.owner.post(f"/api/v1/users/{colleague.pk}/follow/", {})
    cast.colleague.post(f"/api/v1/users/{owner.pk}/follow/", {})
    owner.groups.add(Group.objects.create(name="g"))
    owner.user_permissions.add(Permission.objects.first())
    client = Application.objects.create(user=owner, client_type="public", authorization_grant_type="password")
    expires = timezone.now() + timedelta(days=1)
    Session.objects.create(user=owner, client=client, expires=expires, scope="read")
    content_type = ContentType.objects.get_for_model(User)
    LogEntry.objects.create(user=owner, content_type=content_type, object_id=str(owner.pk), action_flag=CHANGE)
    Subscription.objects.create(name=UNDECLARED, kind="event", follows=["posts.post.*"])
    for name in (UNDECLARED, f"webhook:{made['endpoint']}"):
        hang_from(name, str(made["post"]))
    plan = Run.objects.create(kind=Run.Kind.PLAN, mirror="jsonplaceholder", actor=actor, state=Run.State.DONE)
    Run.objects.create(kind=Run.Kind.APPLY, mirror="jsonplaceholder", actor=actor, plan=plan)
    Difference.objects.create(run=plan, number=1, kind="create", collection="posts")
    return made


def hang_from(subscription: str, object_id: str) -> None:
    """What waits for a subscription, what was tried, and what was given up: an open letter, and a settled one."""
    change: dict[str, Any] = {"model": "posts.post", "object_id": object_id}
    lane = Lane.objects.create(subscription_id=subscription, **change)
    Delivery.objects.create(lane=lane, seq=1, at=timezone.now())
    tried = {**change, "subscription_id": subscription, "seq": 1, "at": timezone.now()}
    Attempt.objects.create(**tried, message_id=uuid4(), kind="created", number=1, began=timezone.now(), seconds=0)
    for outcome in (None, DeadLetter.Outcome.DISCARDED):
        DeadLetter.objects.create(**tried, message_id=uuid4(), attempts=1, cause="Rejected: 400", outcome=outcome)


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[tuple[Cast, dict[str, Any]]]:
    """Committed once; what a test does to it is rolled back."""
    with django_db_blocker.unblock():
        cast = Cast.make()
        yield cast, everything_of(cast)
        empty_tables()
        Group.objects.all().delete()


@pytest.fixture
def cast(world: tuple[Cast, dict[str, Any]]) -> Cast:
    return world[0]


@pytest.fixture
def names(world: tuple[Cast, dict[str, Any]]) -> dict[str, Any]:
    return world[1]


@pytest.fixture
def admin(cast: Cast) -> Client:
    return admin_of(cast.staff.user)


def committed() -> None:
    """What a commit would find: foreign keys are looked at then, and not before."""
    connection.check_constraints()


@pytest.mark.parametrize("relation", list(relations()), ids=lambda one: f"{one[0]._meta.label}.{one[1].name}")
def test_something_hangs_by_each_relation(world: object, relation: Relation):
    model, field = relation
    hangs = model._base_manager.exclude(**{field.name: None}).exists()
    assert hangs, f"{model._meta.label} has no row with {field.name}: {MAKE_ONE}"


@pytest.mark.parametrize("path", BY_OWNER)
def test_owner_deletes_an_object_with_children(cast: Cast, names: dict[str, Any], path: str):
    body = {"password": "owner-password"} if path.endswith("/me/") else None
    assert cast.owner.delete(path.format(**names), body).status_code == 204
    committed()


@pytest.mark.parametrize("path", ["/api/v1/tags/{tag}/"])
def test_staff_delete_an_object_with_children(cast: Cast, names: dict[str, Any], path: str):
    assert cast.staff.delete(path.format(**names)).status_code == 204
    committed()


@pytest.mark.parametrize("model", list(admin_site._registry), ids=lambda model: model._meta.label_lower)
@pytest.mark.parametrize("how", ["page", "action"])
def test_admin_deletes_an_object_with_children(admin: Client, cast: Cast, model: type[models.Model], how: str):
    place = f"/admin/{model._meta.app_label}/{model._meta.model_name}"
    row = cast.owner.user if model is User else model._base_manager.first()
    assert row, f"{model._meta.label} has no row: {MAKE_ONE}"
    if admin.get(f"{place}/{row.pk}/delete/").status_code == 403:
        return  # no user deletes one here
    if how == "page":
        answer = admin.post(f"{place}/{row.pk}/delete/", {"post": "yes"})
    else:
        chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        answer = admin.post(f"{place}/", chosen)
    assert answer.status_code == 302
    if hasattr(model, "deleted"):
        row.refresh_from_db()
        assert row.deleted is not None
    else:
        assert not model._base_manager.filter(pk=row.pk).exists()
    committed()


def test_command_removes_a_subscription_with_its_dead_letters(world: object):
    assert run_command("lockstep", "remove", UNDECLARED) == (0, f"{UNDECLARED} is removed.\n")
    assert not DeadLetter.objects.filter(subscription=UNDECLARED).exists()
    committed()


def test_expired_sessions_are_removed_with_their_tokens(cast: Cast):
    Session.objects.update(expires=timezone.now())
    Session.objects.expired().delete()
    committed()
