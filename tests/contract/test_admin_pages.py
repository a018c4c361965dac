"""Every page of the admin is shown to each user who may see it."""

from typing import Any

import pytest
from django.test import Client, RequestFactory
from oauth2_provider.models import Application

from backend.entities.admin_site import admin_site
from backend.posts.models import Comment, Post
from backend.shop.catalogue.actions import add_tag, create_tag
from backend.shop.models import Order, Product
from backend.shop.orders.actions import release_stock
from lockstep.webhooks.actions import create_endpoint
from tests.security.test_authorisation_matrix import made_by
from tests.support import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.staff.user)
    return client


@pytest.fixture
def something_of_each(cast: Cast) -> None:
    post = Post.objects.create(title="a title", body="a body")
    Comment.objects.create(post=post, name="n", email="e", body="b")
    made = made_by(cast.owner.user)
    product = Product.objects.get(pk=made["product"])
    add_tag(actor="", product=product, tag=create_tag(actor="", name="another"))
    Application.objects.create(name="a client", client_type="public", authorization_grant_type="password")
    create_endpoint(actor="", owner=cast.owner.user, url="https://example.org/", events=["posts.post.*"])
    release_stock("cancel", [Order.objects.get().pk])


@pytest.mark.parametrize("model", list(admin_site._registry), ids=lambda model: model._meta.label_lower)
def test_every_page_shows(admin: Client, cast: Cast, something_of_each: None, model: Any):
    row, place = model._default_manager.first(), f"/admin/{model._meta.app_label}/{model._meta.model_name}"
    assert row, f"{model._meta.label} has no row: make one in {__name__}.something_of_each"
    request = RequestFactory().get("/")
    request.user = cast.staff.user
    pages = admin_site._registry[model]
    allowed = {
        "": True,
        "add/": pages.has_add_permission(request),
        f"{row.pk}/change/": True,
        f"{row.pk}/delete/": pages.has_delete_permission(request),
        f"{row.pk}/history/": True,
    }
    for page, may in allowed.items():
        assert admin.get(f"{place}/{page}").status_code == (200 if may else 403), f"{place}/{page}"
    for search in ("?q=1", "?q=thing"):
        assert admin.get(f"{place}/{search}").status_code == 200


def test_the_first_page_shows(admin: Client):
    assert admin.get("/admin/").status_code == 200


def test_the_first_page_is_found_without_its_slash(admin: Client, client: Client):
    for browser in (admin, client):
        answer = browser.get("/admin")
        assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert admin.get("/administration").status_code == 404
