"""Accounts in the admin."""

from decimal import Decimal
from ipaddress import ip_network
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from backend.accounts import sessions
from backend.accounts.models import Follow, User
from backend.defects.models import Defect
from backend.movies.actions import create_rating
from backend.movies.models import Movie, Rating
from backend.shop.catalogue.actions import create_product
from backend.shop.models import Order, Product
from backend.shop.orders.actions import Line, place_order
from lockstep.changes.models import LoggedChange
from lockstep.webhooks.models import Endpoint
from tests.admin_pages import admin_of, opened
from tests.support import Cast

pytestmark = pytest.mark.django_db

PAGE = "/admin/accounts/user/"
ME = "/api/v1/users/me/"


@pytest.fixture
def admin(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.staff.user)
    return client


@pytest.mark.slow
def test_adding_an_account_that_may_sign_in(admin: Client):
    form = {"username": "new", "usable_password": "true", "password1": "correct horse", "password2": "correct horse"}
    assert admin.post(f"{PAGE}add/", form).status_code == 302
    credentials = {"username": "new", "password": "correct horse"}
    assert Client().post("/auth/", credentials, content_type="application/json").status_code == 200


def test_deleting_an_account_signs_it_out_and_keeps_its_history(admin: Client, cast: Cast):
    assert admin.post(f"{PAGE}{cast.owner.user.pk}/delete/", {"post": "yes"}).status_code == 302
    assert cast.owner.get(ME).status_code == 401
    assert User.objects.get(pk=cast.owner.user.pk).deleted is not None
    last = LoggedChange.objects.history(cast.owner.user.pk).last()
    assert (last.kind, last.actor) == ("deleted", f"user:{cast.staff.user.pk}")
    admin.get(PAGE)  # which tells that it was deleted
    assert "owner" not in admin.get(PAGE).content.decode()


@pytest.fixture
def with_history(cast: Cast) -> None:
    """An owner with an order, a rating and a defect."""
    product = create_product(actor="", owner=cast.colleague.user, name="lamp", price=Decimal(5), stock=10)
    place_order(actor="", buyer=cast.owner.user, lines=[Line(product.pk, 1)])
    movie = Movie.objects.create(remote_id=uuid4(), title="a movie")
    create_rating(actor="", user=cast.owner.user, movie_id=movie.pk, rating_type="UPVOTE")
    Defect.objects.create(user=cast.owner.user, comment="it squeaks")


@pytest.mark.parametrize("is_superuser", [True, False])
def test_objects_of_an_account_do_not_prevent_its_deletion(cast: Cast, with_history: None, is_superuser: bool):
    clerk = User.objects.create_user("clerk", password="x", is_staff=True, is_superuser=is_superuser)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user", "delete_user"]))
    admin, page = admin_of(clerk), f"{PAGE}{cast.owner.user.pk}/delete/"
    confirmation = admin.get(page).content.decode()
    assert "Its orders and defects stay as they are." in confirmation
    assert "protected" not in confirmation
    assert admin.post(page, {"post": "yes"}).status_code == 302
    assert User.objects.get(pk=cast.owner.user.pk).deleted
    assert (Order.objects.alive().count(), Defect.objects.alive().count()) == (1, 1)


def test_the_page_names_what_is_deleted_with_an_account(admin: Client, cast: Cast, with_history: None, settings):
    settings.DEBUG = True  # plain http
    owner, page = cast.owner.user, f"{PAGE}{cast.owner.user.pk}/delete/"
    assert cast.owner.post("/api/v1/products/", {"name": "lamp", "price": "1.00"}).status_code == 201
    assert cast.owner.post(f"/api/v1/users/{cast.colleague.user.pk}/follow/", {}).status_code == 204
    endpoint = {"url": "http://192.0.2.1/", "events": ["*"]}
    settings.LOCKSTEP = settings.LOCKSTEP | {"WEBHOOK_ALLOW_NETWORKS": [ip_network("192.0.2.0/24")]}
    assert cast.owner.post("/api/v1/webhooks/", endpoint).status_code == 201
    rows = (
        Product.objects.alive().filter(owner=owner),
        Rating.objects.alive().filter(user=owner),
        Follow.objects.alive().filter(follower=owner),
        Endpoint.objects.alive().filter(owner=owner),
    )
    assert [one.count() for one in rows] == [1, 1, 1, 1]
    assert "Its profile, products, ratings, follows and webhooks are deleted." in admin.get(page).content.decode()
    assert admin.post(page, {"post": "yes"}).status_code == 302
    assert [one.count() for one in rows] == [0, 0, 0, 0]


def test_accounts_with_objects_are_deleted_in_bulk(admin: Client, cast: Cast, with_history: None):
    chosen = [str(person.user.pk) for person in (cast.owner, cast.colleague, cast.outsider)]
    form = {"action": "delete_selected", "_selected_action": chosen}
    confirmation = admin.post(PAGE, form).content.decode()
    assert confirmation.count("is signed out everywhere") == 3
    assert admin.post(PAGE, form | {"post": "yes"}).status_code == 302
    assert User.objects.alive().filter(pk__in=chosen).count() == 0


def test_a_new_password_signs_the_account_out_everywhere(admin: Client, cast: Cast):
    pair = sessions.open_pair(cast.owner.user)
    form = {"usable_password": "true", "password1": "correct horse", "password2": "correct horse"}
    assert admin.post(f"{PAGE}{cast.owner.user.pk}/password/", {**form, "password2": "other"}).status_code == 200
    assert cast.owner.get(ME).status_code == 200
    assert admin.post(f"{PAGE}{cast.owner.user.pk}/password/", form).status_code == 302
    assert cast.owner.get(ME).status_code == 401
    assert not sessions.is_valid(pair.refresh)
    assert cast.colleague.get(ME).status_code == 200


def test_a_deactivated_account_is_signed_out_at_once(admin: Client, cast: Cast):
    page = f"{PAGE}{cast.owner.user.pk}/change/"
    form = opened(admin, page)
    assert form.pop("is_active") == "on"
    assert admin.post(page, form).status_code == 302
    assert cast.owner.get(ME).status_code == 401
    assert admin.post(page, opened(admin, page) | {"is_active": "on"}).status_code == 302
    assert cast.owner.get(ME).status_code == 401  # it is signed out, and signs in again
