"""The History of the admin is the change log, for every captured model."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from backend.accounts.models import User
from backend.entities.admin_site import admin_site
from backend.posts.models import Comment, Post
from backend.shop.catalogue.actions import add_tag, create_tag
from backend.shop.models import Product
from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.capture import capture_of
from lockstep.console.admin import ChangeHistory
from lockstep.webhooks.actions import create_endpoint
from tests.admin_pages import admin_of, opened
from tests.security.test_authorisation_matrix import made_by
from tests.support import Cast, Person

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

CAPTURED = [model for model in admin_site._registry if capture_of(model)]


@pytest.fixture
def admin(cast: Cast) -> Client:
    return admin_of(cast.staff.user)


@pytest.fixture
def something_of_each(cast: Cast) -> None:
    post = Post.objects.create(title="a title", body="a body")
    Comment.objects.create(post=post, name="n", email="e@example.com", body="b")
    product = Product.objects.get(pk=made_by(cast.owner.user)["product"])
    add_tag(actor="", product=product, tag=create_tag(actor="", name="another"))
    create_endpoint(actor="", owner=cast.owner.user, url="https://example.org/", events=["posts.post.*"])


def history_of(row: Any) -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/history/"


def read(client: Client, page: str) -> str:
    """The page's text."""
    response = client.get(page)
    assert response.status_code == 200, f"{page}: {response.status_code}"
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.content.decode()))


def test_there_are_captured_models_in_the_admin():
    assert len(CAPTURED) >= 8


@pytest.mark.parametrize("model", CAPTURED, ids=lambda model: model._meta.label_lower)
def test_every_captured_model_has_its_changes(admin: Client, something_of_each: None, model: Any):
    assert isinstance(admin_site._registry[model], ChangeHistory)
    row = model._default_manager.filter(deleted=None).first()
    text = read(admin, history_of(row))
    assert "created" in text
    for column in capture_of(model).columns:  # type: ignore[union-attr]
        assert column in text
    assert f'href="/console/objects/{capture_of(model).label}/{row.pk}/"' in admin.get(history_of(row)).content.decode()  # type: ignore[union-attr]


@pytest.mark.parametrize("model", CAPTURED, ids=lambda model: model._meta.label_lower)
def test_a_deleted_object_keeps_its_history(admin: Client, something_of_each: None, model: Any):
    row = model._default_manager.filter(deleted=None).first()
    with attributed_transaction(actor="process:clean-up"):
        model._default_manager.filter(pk=row.pk).update(deleted=row.created)
    text = read(admin, history_of(row))
    assert "This object is deleted" in text and "process:clean-up" in text


def test_the_history_shows_who_changed_what(admin: Client, cast: Cast):
    post = Post.objects.create(title="before", body="a body")
    page = f"/admin/posts/post/{post.pk}/change/"
    assert admin.post(page, opened(admin, page) | {"title": "after"}).status_code == 302
    text = read(admin, history_of(post))
    assert "title before after" in text and "staff" in text
    assert f'href="/admin/accounts/user/{cast.staff.user.pk}/change/"' in admin.get(history_of(post)).content.decode()


def test_the_history_needs_the_right_to_see_the_model(cast: Cast):
    post = Post.objects.create(title="a title", body="a body")
    limited = Person.make("limited").user
    User.objects.filter(pk=limited.pk).update(is_staff=True)
    limited.refresh_from_db()
    assert admin_of(limited).get(history_of(post)).status_code == 403
    assert admin_of(cast.outsider.user).get(history_of(post)).status_code == 302


def test_the_life_of_a_post_shows_what_the_provider_has(admin: Client):
    post = Post.objects.create(title="a title", body="a body")
    assert "jsonplaceholder posts: look It was never sent there." in read(
        admin, f"/console/objects/posts.post/{post.pk}/"
    )


def test_no_object_is_redirected_as_in_django(admin: Client):
    for key in ("019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b", "junk"):
        assert admin.get(f"/admin/posts/post/{key}/history/").status_code == 302


def test_the_history_takes_the_same_queries_however_long_it_is(admin: Client):
    counts = []
    for number in (1, 40):
        post = Post.objects.create(title="0", body="a body")
        for title in range(number):
            Post.objects.filter(pk=post.pk).update(title=f"new {title}")
        admin.get(history_of(post))
        with CaptureQueriesContext(connection) as queries:
            admin.get(history_of(post))
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 12
