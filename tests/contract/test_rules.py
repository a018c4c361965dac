"""Every rule against every way of writing, from one table: a cell refuses and names the field, or says why it cannot.

The rules themselves stand in the models: validators of fields, and constraints.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, models, transaction
from django.http import HttpRequest
from django.test import RequestFactory

from backend.accounts.models import User
from backend.defects.models import Defect
from backend.entities.admin_site import admin_site
from backend.posts.models import Comment, Post
from backend.shop.catalogue.actions import create_product
from backend.shop.models import Product, Tag
from tests.admin_pages import admin_of, errors_of, opened
from tests.support import Cast, Person

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Rule:
    """A value that a field cannot have. `stored`: not even by SQL."""

    model: type[models.Model]
    field: str
    value: object
    stored: bool = False

    def __str__(self) -> str:
        value = str(self.value)
        return f"{self.model._meta.model_name}.{self.field}={value if len(value) < 30 else f'{len(value)} letters'}"


NEVER = True  # the database refuses it, too
RULES = [
    Rule(Product, "name", ""),
    Rule(Product, "name", "x" * 201),
    Rule(Product, "description", "x" * 20_001),
    Rule(Product, "price", "-0.01", NEVER),
    Rule(Product, "price", "1.001"),
    Rule(Product, "price", "12345678901.00", NEVER),
    Rule(Product, "price", "NaN"),
    Rule(Product, "price", "dear", NEVER),
    *(Rule(Product, "price", value) for value in ("1_0", "1e2", "\u0661\u0662", "\uff11")),
    *(Rule(Product, "stock", value) for value in ("1_0", "\u0661", "\uff11")),
    Rule(Product, "stock", "-1", NEVER),
    Rule(Product, "stock", str(10**12 + 1)),
    Rule(Product, "stock", str(2**53), NEVER),
    Rule(Product, "stock", str(9 * 10**18), NEVER),
    Rule(Product, "stock", str(10**30), NEVER),
    Rule(Product, "state", "LOST", NEVER),
    Rule(Tag, "name", ""),
    Rule(Tag, "name", "x" * 51),
    Rule(Tag, "name", "red", NEVER),
    Rule(Tag, "name", "RED", NEVER),
    Rule(Tag, "description", "x" * 20_001),
    Rule(Post, "title", ""),
    Rule(Post, "title", "x" * 1_001),
    Rule(Post, "body", ""),
    Rule(Post, "body", "x" * 100_001),
    Rule(Comment, "name", "x" * 1_001),
    Rule(Comment, "email", "not an address"),
    Rule(Comment, "email", f"{'x' * 250}@example.com"),
    Rule(Comment, "body", "x" * 100_001),
    Rule(Defect, "comment", ""),
    Rule(Defect, "comment", "x" * 10_001),
    Rule(User, "username", "colleague", NEVER),
    Rule(User, "username", "COLLEAGUE", NEVER),
    Rule(User, "username", "a b"),
    Rule(User, "username", "x" * 151, NEVER),
    Rule(User, "username", "colleague@example.com", NEVER),
    Rule(User, "username", "not.mine@example.com", NEVER),
    Rule(User, "email", "not an address"),
    Rule(User, "email", "colleague@example.com", NEVER),
    Rule(User, "email", "Colleague@Example.com", NEVER),
    Rule(User, "first_name", "x" * 151, NEVER),
]

GOOD: Mapping[type[models.Model], Mapping[str, str]] = {
    Product: {"name": "lamp", "description": "bright", "price": "5.00", "stock": "10"},
    Tag: {"name": "blue", "description": "a colour"},
    Post: {"title": "title", "body": "body"},
    Comment: {"name": "Ada", "email": "ada@example.com", "body": "body"},
    Defect: {"comment": "it squeaks"},
    User: {"username": "newcomer", "email": "newcomer@example.org", "first_name": "Ada"},
}


@dataclass
class World:
    """What is there, and who writes: a row of each model."""

    cast: Cast
    rows: Mapping[type[models.Model], Any]


@pytest.fixture
def world(cast: Cast) -> World:
    User.objects.filter(username="colleague").update(email="colleague@example.com")
    owner = cast.owner.user
    post = Post.objects.create(title="t", body="b")
    product = create_product(actor="", owner=owner, name="n", price=Decimal(1), stock=1)
    Tag.objects.create(name="red")
    rows: dict[type[models.Model], Any] = {
        Product: Product.objects.get(pk=product.pk),
        Tag: Tag.objects.create(name="green"),
        Post: Post.objects.get(pk=post.pk),
        Comment: Comment.objects.create(post=post, name="n", email="e@example.com", body="b"),
        Defect: Defect.objects.create(user=owner, comment="c"),
        User: User.objects.get(pk=owner.pk),
    }
    for row in rows.values():
        row.refresh_from_db()
    return World(cast, rows)


# --- Ways of writing ------------------------------------------------------------------------------------
# Each returns the fields that were refused, with what was said of them.

Refused = Mapping[str, str]


def through_api(person: Person, method: str, path: str, body: Mapping[str, object], **renamed: str) -> Refused:
    send = getattr(person.client, method)
    answer = send(path, {renamed.get(name, name): value for name, value in body.items()}, "application/json")
    assert answer.status_code == 400, (answer.status_code, answer.content)
    back = {ours: theirs for theirs, ours in renamed.items()}
    return {back.get(one["field"], one["field"]): one["detail"] for one in answer.json()["errors"]}


def api_create(world: World, rule: Rule) -> Refused:
    body: dict[str, object] = {**GOOD[rule.model], rule.field: rule.value}
    comments = f"/fakeapi/v1/posts/{world.rows[Post].number}/comments/create/"
    match rule.model.__name__:
        case "Product":
            return through_api(world.cast.owner, "post", "/api/v1/products/", body)
        case "Tag":
            return through_api(world.cast.staff, "post", "/api/v1/tags/", body)
        case "Post":
            return through_api(world.cast.owner, "post", "/fakeapi/v1/posts/create/", body)
        case "Comment":
            return through_api(world.cast.owner, "post", comments, body)
        case "Defect":
            return through_api(world.cast.owner, "post", "/api/v1/defects/", body)
    return through_api(world.cast.owner, "post", "/api/v1/users/register/", body | {"password": "correct horse"})


def api_update(world: World, rule: Rule) -> Refused:
    row, body = world.rows[rule.model], {rule.field: rule.value}
    whole: dict[str, object] = {**GOOD[rule.model], rule.field: rule.value}
    match rule.model.__name__:
        case "Product":
            return through_api(world.cast.owner, "patch", f"/api/v1/products/{row.pk}/", body)
        case "Tag":
            return through_api(world.cast.staff, "patch", f"/api/v1/tags/{row.pk}/", body)
        case "Post":
            return through_api(world.cast.owner, "put", f"/fakeapi/v1/posts/update/{row.number}/", whole)
        case "Comment":
            path = f"/fakeapi/v1/posts/{world.rows[Post].number}/comments/update/{row.number}/"
            return through_api(world.cast.owner, "put", path, whole)
        case "Defect":
            return through_api(world.cast.owner, "patch", f"/api/v1/defects/{row.pk}/", body)
    return through_api(world.cast.owner, "patch", "/api/v1/users/me/", body)


def frozen_route(world: World, rule: Rule) -> Refused:
    if rule.model is Product:
        body = {name: GOOD[Product][name] for name in ("name", "price", "stock")} | {rule.field: rule.value}
        return through_api(world.cast.owner, "put", f"/api/product/{world.rows[Product].number}/", body)
    if rule.model is Defect:
        return through_api(world.cast.owner, "post", "/api/defects/", {rule.field: rule.value})
    body = {"username": rule.value, "password": "correct horse"}
    return through_api(world.cast.owner, "post", "/api/register/", body, username="name")


def admin_add(world: World, rule: Rule) -> Refused:
    admin, page = admin_of(world.cast.staff.user), f"/admin/{rule.model._meta.label_lower.replace('.', '/')}/add/"
    form = opened(admin, page) | GOOD[rule.model] | {rule.field: rule.value}
    if rule.model is Product:
        form["owner"] = str(world.cast.owner.user.pk)
    if rule.model is Comment:
        form["post"] = str(world.rows[Post].pk)
    if rule.model is User:
        form |= {"usable_password": "true", "password1": "correct horse", "password2": "correct horse"}
    return errors_of(admin.post(page, form))


def admin_change(world: World, rule: Rule) -> Refused:
    admin, row = admin_of(world.cast.staff.user), world.rows[rule.model]
    page = f"/admin/{rule.model._meta.label_lower.replace('.', '/')}/{row.pk}/change/"
    return errors_of(admin.post(page, opened(admin, page) | {rule.field: rule.value}))


def command(world: World, rule: Rule) -> Refused:
    values = {**GOOD[User], rule.field: rule.value}
    options = {"username": values["username"], "email": values["email"], "interactive": False}
    with pytest.raises(CommandError) as refused:
        call_command("createsuperuser", **options)
    assert not User.objects.filter(is_superuser=True).exclude(username="staff").exists()
    return {rule.field: str(refused.value)}


def sql(world: World, rule: Rule) -> Refused:
    table, row = rule.model._meta.db_table, world.rows[rule.model]
    with pytest.raises(DatabaseError) as refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f'UPDATE "{table}" SET "{rule.field}" = %s WHERE id = %s', [rule.value, row.pk])
    return {rule.field: str(refused.value)}


Way = Callable[[World, Rule], Refused]
WAYS: Mapping[str, Way] = {
    "API create": api_create,
    "API update": api_update,
    "frozen route": frozen_route,
    "admin add form": admin_add,
    "admin change form": admin_change,
    "command": command,
    "SQL": sql,
}


FROZEN_FIELDS = {Product: ("name", "price", "stock"), User: ("username",), Defect: ("comment",)}
# Reasons why a rule cannot be broken by a way, each with what it is true of.
NOT_APPLICABLE: Mapping[str, Callable[[str, Rule], bool]] = {
    "lengths and formats protect clients and pages; the database holds what other rows rely on": (
        lambda way, rule: way == "SQL" and not rule.stored
    ),
    "its routes are the frozen ones, and are the API": (
        lambda way, rule: way == "frozen route" and rule.model in (Post, Comment)
    ),
    "no predecessor had tags": lambda way, rule: way == "frozen route" and rule.model is Tag,
    "the route has no such field": (
        lambda way, rule: way == "frozen route" and rule.field not in FROZEN_FIELDS.get(rule.model, ())
    ),
    "commands make accounts, or import what providers have as it is": (
        lambda way, rule: way == "command" and rule.model is not User
    ),
    "the command has no such option": lambda way, rule: way == "command" and rule.field == "first_name",
    "a new product is on sale": (lambda way, rule: way in ("API create", "admin add form") and rule.field == "state"),
    "the form has no such field": lambda way, rule: way == "admin add form" and rule.field == "first_name",
    "the only action of the admin is to delete": lambda way, rule: way == "admin action",
}


def reason_why_not(way: str, rule: Rule) -> str | None:
    """Why a rule cannot be broken by this way; None when it is to be tried."""
    return next((reason for reason, holds in NOT_APPLICABLE.items() if holds(way, rule)), None)


TABLE = [(way, rule) for rule in RULES for way in (*WAYS, "admin action")]
CELLS = [cell for cell in TABLE if reason_why_not(*cell) is None]


@pytest.mark.parametrize(("way", "rule"), CELLS, ids=lambda cell: str(cell))
def test_a_violation_is_refused_with_its_field(world: World, way: str, rule: Rule, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct horse")
    row = world.rows[rule.model]
    count, before = rule.model._default_manager.count(), rule.model._default_manager.values().get(pk=row.pk)
    said = WAYS[way](world, rule)
    assert said.get(rule.field), said
    assert rule.model._default_manager.count() == count
    assert rule.model._default_manager.values().get(pk=row.pk) == before


@pytest.mark.parametrize("model", list(GOOD), ids=lambda model: model.__name__)
def test_a_row_that_keeps_the_rules_is_accepted(world: World, model: type[models.Model]):
    """That the cells above are refused for their one bad value."""
    admin, page = admin_of(world.cast.staff.user), f"/admin/{model._meta.label_lower.replace('.', '/')}/add/"
    form = (
        opened(admin, page) | GOOD[model] | {"owner": str(world.cast.owner.user.pk), "post": str(world.rows[Post].pk)}
    )
    form |= {"usable_password": "true", "password1": "correct horse", "password2": "correct horse"}
    answer = admin.post(page, form)
    assert answer.status_code == 302, errors_of(answer)


def test_the_admin_has_no_other_action():
    """None of these has values to refuse: see test_ending.py of payments and test_admin_clients.py of accounts."""
    actions = {name for pages in admin_site._registry.values() for name in pages.get_actions(superuser())}
    assert actions == {"delete_selected", "end_orders", "end_orders_unanswered", "revoke_tokens", "switch_off"}


def superuser() -> HttpRequest:
    request = RequestFactory().get("/admin/")
    request.user = User(is_superuser=True, is_active=True)
    return request


def test_every_model_and_every_way_is_in_the_table():
    added = {model for model, pages in admin_site._registry.items() if pages.has_add_permission(superuser())}
    missing = sorted(model._meta.label for model in added - set(GOOD))
    assert not missing, f"{missing} can be added in the admin: write its values into GOOD, its limits into RULES"
    assert {rule.model for rule in RULES} == set(GOOD)
    assert {way for way, _ in CELLS} == set(WAYS)
    assert {reason_why_not(*cell) for cell in TABLE} - {None} == set(NOT_APPLICABLE)
