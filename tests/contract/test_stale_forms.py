"""Each field of each form of the admin: what others changed is kept, what both changed is refused with both values."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import models
from django.test import Client, RequestFactory

from backend.accounts.models import User
from backend.defects.models import Defect
from backend.entities.admin_site import admin_site
from backend.posts.models import Comment, Post
from backend.shop.models import Product, Tag
from tests.admin_pages import admin_of, errors_of, opened, sent_by
from tests.support import Cast

pytestmark = pytest.mark.django_db

# What others write meanwhile, and what the form sends; both differ from what it showed.
VALUES: Mapping[type[models.Model], Mapping[str, tuple[Any, Any]]] = {
    Product: {
        "name": ("theirs", "mine"),
        "description": ("theirs\nin two lines", "mine"),
        "price": (Decimal("6.50"), "7.25"),
        "stock": (6, "12"),
        "state": ("OFF_SALE", None),  # there are two states: whatever differs from both is none
    },
    Tag: {"name": ("theirs", "mine"), "description": ("theirs", "mine")},
    Post: {"title": ("theirs", "mine"), "body": ("theirs", "mine")},
    Comment: {
        "name": ("theirs", "mine"),
        "email": ("theirs@example.com", "mine@example.com"),
        "body": ("theirs", "mine"),
    },
    Defect: {"comment": ("theirs", "mine")},
    User: {
        "username": ("theirs", "mine"),
        "first_name": ("theirs", "mine"),
        "last_name": ("theirs", "mine"),
        "email": ("theirs@example.com", "mine@example.com"),
        "is_active": (False, None),
        "is_staff": (True, None),
        "is_superuser": (True, None),
        "groups": (["theirs"], ["mine"]),
        "user_permissions": (["change_post"], ["view_post"]),
    },
}
FIELDS = [(model, field) for model, fields in VALUES.items() for field in fields]


@pytest.fixture
def admin(cast: Cast) -> Client:
    return admin_of(cast.staff.user)


@pytest.fixture
def rows(cast: Cast) -> Mapping[type[models.Model], Any]:
    post = Post.objects.create(title="t", body="b")
    for name in ("theirs", "mine"):
        Group.objects.create(name=name)
    return {
        Product: Product.objects.create(owner=cast.owner.user, name="n", price=Decimal("5.00"), stock=10),
        Tag: Tag.objects.create(name="n"),
        Post: post,
        Comment: Comment.objects.create(post=post, name="n", email="e@example.com", body="b"),
        Defect: Defect.objects.create(user=cast.owner.user, comment="c"),
        User: cast.owner.user,
    }


def keys(field: str, names: list[str]) -> list[int]:
    if field == "groups":
        return list(Group.objects.filter(name__in=names).values_list("pk", flat=True))
    return list(Permission.objects.filter(codename__in=names).values_list("pk", flat=True))


def write(row: models.Model, field: str, value: Any) -> None:
    """A concurrent change by another user."""
    if isinstance(value, list):
        getattr(row, field).set(keys(field, value))
    else:
        type(row)._default_manager.filter(pk=row.pk).update(**{field: value})


def stored(row: models.Model, field: str) -> Any:
    value = getattr(type(row)._default_manager.get(pk=row.pk), field)
    return sorted(value.values_list("pk", flat=True)) if field in ("groups", "user_permissions") else value


def page_of(row: models.Model) -> str:
    return f"/admin/{row._meta.label_lower.replace('.', '/')}/{row.pk}/change/"


def labels_of(field: str, value: Any) -> list[str]:
    """As a page calls it."""
    if field == "user_permissions":
        return [str(one) for one in Permission.objects.filter(codename__in=value)]
    return value if isinstance(value, list) else [str(value)]


def edit(model: type[models.Model], field: str) -> dict[str, Any]:
    """What the form sends of this field."""
    _, mine = VALUES[model][field]
    return {field: keys(field, mine) if isinstance(mine, list) else mine}


def name_of(value: Any) -> str:
    return str(getattr(value, "__name__", value))


@pytest.mark.parametrize(("model", "field"), FIELDS, ids=name_of)
def test_concurrent_changes_of_other_fields_are_kept(admin: Client, rows: Any, model: type[models.Model], field: str):
    row, (theirs, _) = rows[model], VALUES[model][field]
    form = opened(admin, page_of(row))
    write(row, field, theirs)
    kept = stored(row, field)
    others = [name for name, (_, mine) in VALUES[model].items() if name != field and mine is not None][:1]
    for other in others:
        form |= edit(model, other)
    assert admin.post(page_of(row), form).status_code == 302
    assert stored(row, field) == kept
    assert [str(stored(row, other)) for other in others] == [form[other] for other in others]


@pytest.mark.parametrize(
    ("model", "field"), [pair for pair in FIELDS if VALUES[pair[0]][pair[1]][1] is not None], ids=name_of
)
def test_a_field_changed_by_both_is_refused_with_both_values(
    admin: Client, rows: Any, model: type[models.Model], field: str
):
    row, (theirs, mine) = rows[model], VALUES[model][field]
    form = opened(admin, page_of(row))
    write(row, field, theirs)
    before = stored(row, field)
    refused = admin.post(page_of(row), form | edit(model, field))
    for label in (*labels_of(field, theirs), *labels_of(field, mine)):
        assert label in errors_of(refused)[field]
    assert stored(row, field) == before
    assert admin.post(page_of(row), sent_by(refused)).status_code == 302  # on top, knowingly
    assert stored(row, field) != before


def test_every_field_of_every_form_is_in_the_table(cast: Cast, rows: Any):
    request = RequestFactory().get("/admin/")
    request.user = cast.staff.user
    changed = {model for model, pages in admin_site._registry.items() if pages.has_change_permission(request)}
    missing = sorted(model._meta.label for model in changed - set(VALUES))
    assert not missing, f"{missing} can be changed in the admin: write its fields into VALUES, and a row into rows"
    forms = {
        model: set(pages.get_form(request, rows[model], change=True).base_fields) - {"password"}
        for model, pages in admin_site._registry.items()
        if model in changed
    }
    assert forms == {model: set(fields) for model, fields in VALUES.items()}
