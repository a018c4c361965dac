"""Saves of the admin beside orders, edits, deletions, demotions and other admins, over real connections.

After each race: nothing was written that was not changed, no unit was sold twice, nothing that was deleted lives.
"""

import random
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.db.models import Sum
from django.test import Client

from backend.accounts.models import User
from backend.entities.admin_site import EntityAdmin
from backend.posts import actions as posts
from backend.posts.models import Comment, Post
from backend.shop.catalogue.actions import create_product
from backend.shop.models import Order, Product
from tests.admin_pages import admin_of, errors_of, opened
from tests.support import Cast, Person, any_lock_waiter, eventually

Act = Callable[[], Any]

LOGIN = "/admin/login/"


@dataclass
class Arena:
    """Who races: two admins, an owner and buyers; `dice` says what is raced next."""

    cast: Cast
    dice: random.Random
    pool: ThreadPoolExecutor
    made: int = field(default=0)

    def admin(self, name: str = "") -> Client:
        return admin_of(User.objects.create_superuser(name or self.name("admin"), password="x"))

    def name(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}-{self.made}"

    def product(self, stock: int) -> Product:
        made = create_product(
            actor="", owner=self.cast.owner.user, name=self.name("lamp"), price=Decimal("5.00"), stock=stock
        )
        return Product.objects.get(pk=made.pk)

    def at_once(self, *acts: Act) -> list[Any]:
        """Their results. All begin at the same moment, each on a connection of its own."""
        start = threading.Barrier(len(acts))
        order = self.dice.sample(range(len(acts)), len(acts))
        futures = {place: self.pool.submit(_run, start, acts[place]) for place in order}
        return [futures[place].result(60) for place in range(len(acts))]


def _run(start: threading.Barrier, act: Act) -> Any:
    try:
        start.wait(60)
        return act()
    finally:
        connections.close_all()


def page_of(row: Any) -> str:
    return f"/admin/{row._meta.label_lower.replace('.', '/')}/{row.pk}/change/"


def save(admin: Client, row: Any, **changes: Any) -> Act:
    """The form is opened now, and sent when the race begins."""
    form = opened(admin, page_of(row)) | changes
    return lambda: admin.post(page_of(row), form)


def order(buyer: Person, product: Product, quantity: int) -> Act:
    body = {"lines": [{"product": str(product.pk), "quantity": quantity}]}
    return lambda: buyer.post("/api/v1/orders/", body)


def patch(owner: Person, product: Product, **values: object) -> Act:
    return lambda: owner.client.patch(f"/api/v1/products/{product.pk}/", values, content_type="application/json")


def was_saved(answer: Any) -> bool:
    """Whether a form was taken; otherwise it was refused as stale, or its user was, and nothing else."""
    if answer.status_code == 200:
        assert "after you opened this page" in errors_of(answer)["__all__"]
        return False
    assert answer.status_code in (302, 403), answer.content
    return answer.status_code == 302 and not answer["Location"].startswith(LOGIN)


def adds_up(product: Product) -> Product:
    product.refresh_from_db()
    assert product.stock == (product.movements.aggregate(sum=Sum("delta"))["sum"] or 0)
    assert product.stock >= 0
    return product


def race_orders_and_a_description(arena: Arena) -> None:
    product = arena.product(stock=1)
    buyers = (arena.cast.colleague, arena.cast.outsider)
    edit = save(arena.admin(), product, description="bright")
    saved, *orders = arena.at_once(edit, *(order(buyer, product, 1) for buyer in buyers))
    assert was_saved(saved)
    assert sorted(answer.status_code for answer in orders) == [201, 409]
    assert (adds_up(product).stock, product.description) == (0, "bright")


def race_orders_and_a_correction(arena: Arena) -> None:
    product = arena.product(stock=10)
    edit = save(arena.admin(), product, stock="12")
    saved, ordered = arena.at_once(edit, order(arena.cast.colleague, product, 4))
    assert ordered.status_code == 201
    assert adds_up(product).stock == (8 if was_saved(saved) else 6)


def race_an_owner_and_another_field(arena: Arena) -> None:
    product = arena.product(stock=10)
    edit = save(arena.admin(), product, description="bright")
    saved, patched = arena.at_once(edit, patch(arena.cast.owner, product, price="7.00", name="theirs"))
    assert (was_saved(saved), patched.status_code) == (True, 200)
    product.refresh_from_db()
    assert (product.name, product.price, product.description) == ("theirs", Decimal("7.00"), "bright")


def race_an_owner_and_the_same_field(arena: Arena) -> None:
    """The owner says no version, and so has the last word: after the form was saved, or before it was refused."""
    product = arena.product(stock=10)
    edit = save(arena.admin(), product, name="mine")
    saved, patched = arena.at_once(edit, patch(arena.cast.owner, product, name="theirs"))
    was_saved(saved)
    assert patched.status_code == 200
    product.refresh_from_db()
    assert product.name == "theirs"


def race_two_admins_and_one_field(arena: Arena) -> None:
    product = arena.product(stock=10)
    names = ("red lamp", "blue lamp")
    answers = arena.at_once(*(save(arena.admin(), product, name=name) for name in names))
    winners = [name for name, answer in zip(names, answers, strict=True) if was_saved(answer)]
    product.refresh_from_db()
    assert winners == [product.name]


def race_two_admins_and_two_fields(arena: Arena) -> None:
    product = arena.product(stock=10)
    edits = (save(arena.admin(), product, name="red lamp"), save(arena.admin(), product, description="bright"))
    assert all(was_saved(answer) for answer in arena.at_once(*edits))
    product.refresh_from_db()
    assert (product.name, product.description) == ("red lamp", "bright")


def race_a_deletion(arena: Arena) -> None:
    product = arena.product(stock=10)
    edit = save(arena.admin(), product, name="mine", stock="12")
    owner = arena.cast.owner
    saved, deleted, ordered = arena.at_once(
        edit, lambda: owner.delete(f"/api/v1/products/{product.pk}/"), order(arena.cast.colleague, product, 1)
    )
    was_saved(saved)
    assert deleted.status_code == 204
    assert ordered.status_code in (201, 400, 404)
    assert adds_up(product).deleted is not None


def race_a_deletion_in_the_admin_and_an_order(arena: Arena) -> None:
    product, admin = arena.product(stock=10), arena.admin()
    page = page_of(product).replace("change", "delete")
    deleted, ordered = arena.at_once(lambda: admin.post(page, {"post": "yes"}), order(arena.cast.colleague, product, 4))
    assert deleted.status_code == 302
    assert ordered.status_code in (201, 400, 404)
    assert adds_up(product).deleted is not None
    assert product.stock == (6 if ordered.status_code == 201 else 10)


def race_an_account_that_is_deleted(arena: Arena) -> None:
    leaver = Person.make(arena.name("leaver"))
    edit = save(arena.admin(), leaver.user, first_name="Ada", email=f"{leaver.user.username}@example.com")
    saved, deleted = arena.at_once(edit, leaver.delete_account)
    was_saved(saved)
    assert deleted.status_code == 204
    user = User.objects.get(pk=leaver.user.pk)
    assert user.deleted is not None
    assert (user.username, user.email, user.first_name) == (f"deleted {user.pk}", "", "")
    assert leaver.get("/api/v1/users/me/").status_code == 401


def race_an_admin_who_is_demoted(arena: Arena) -> None:
    """A save that is refused, or answered with the sign-in page, has written nothing."""
    product, name = arena.product(stock=10), arena.name("admin")
    edit = save(arena.admin(name), product, description="bright")
    demoted = User.objects.get(username=name)
    saved, _ = arena.at_once(edit, lambda: User.objects.filter(pk=demoted.pk).update(is_staff=False))
    product.refresh_from_db()
    assert product.description == ("bright" if was_saved(saved) else "")


def race_two_admins_who_edit_each_other(arena: Arena) -> None:
    """Each holds the own row and wants the other's: the database ends one transaction, which is tried again."""
    names = (arena.name("admin"), arena.name("admin"))
    first, second = (arena.admin(name) for name in names)
    one, other = (User.objects.get(username=name) for name in names)
    answers = arena.at_once(save(first, other, first_name="Ada"), save(second, one, first_name="Ada"))
    assert all(was_saved(answer) for answer in answers)
    assert User.objects.filter(username__in=names, first_name="Ada").count() == 2


def race_a_comment_and_the_end_of_its_post(arena: Arena) -> None:
    post = Post.objects.create(title=arena.name("post"), body="b")
    form = {"post": str(post.pk), "name": "n", "email": "e@example.com", "body": "b"}
    admin = arena.admin()
    added, _ = arena.at_once(
        lambda: admin.post("/admin/posts/comment/add/", form),
        lambda: posts.delete_post(actor="", number=post.number),
    )
    assert added.status_code in (200, 302)
    assert not Comment.objects.alive().filter(post=post).exists()


@pytest.mark.django_db(transaction=True)
def test_what_a_save_compares_with_stays_until_it_has_written(
    database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    """An order that comes between the comparison and the write waits, and takes its units from what was written."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        arena = Arena(Cast.make(), random.Random(16), pool)
        product, admin = arena.product(stock=10), arena.admin()
        form = opened(admin, page_of(product)) | {"stock": "12"}
        ordered: list[Future[Any]] = []
        write = EntityAdmin.save_model

        def save_while_units_are_sold(*args: Any) -> None:
            act = order(arena.cast.colleague, product, 4)
            ordered.append(pool.submit(_run, threading.Barrier(1), act))
            eventually(lambda: any_lock_waiter(database), "the order to wait")
            write(*args)

        monkeypatch.setattr(EntityAdmin, "save_model", save_while_units_are_sold)
        assert was_saved(admin.post(page_of(product), form))
        assert ordered[0].result(60).status_code == 201
    assert adds_up(product).stock == 8


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("loss", [{"is_staff": False}, {"is_active": False}, {"password": "another"}])
def test_a_right_that_is_taken_away_waits_for_the_save_that_uses_it(
    database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, loss: dict[str, object]
):
    with ThreadPoolExecutor(max_workers=2) as pool:
        arena = Arena(Cast.make(), random.Random(16), pool)
        product, admin = arena.product(stock=10), arena.admin("demoted")
        form = opened(admin, page_of(product)) | {"description": "bright"}
        taken_away: list[Future[Any]] = []
        write = EntityAdmin.save_model

        def save_while_the_right_goes(*args: Any) -> None:
            rows = User.objects.filter(username="demoted")
            taken_away.append(pool.submit(_run, threading.Barrier(1), lambda: rows.update(**loss)))
            eventually(lambda: any_lock_waiter(database), "the demotion to wait")
            write(*args)

        monkeypatch.setattr(EntityAdmin, "save_model", save_while_the_right_goes)
        assert was_saved(admin.post(page_of(product), form))
        assert taken_away[0].result(60) == 1
    product.refresh_from_db()
    assert product.description == "bright"
    assert not was_saved(admin.post(page_of(product), form | {"description": "dark"}))


RACES = [value for name, value in sorted(globals().items()) if name.startswith("race_")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
@pytest.mark.parametrize("rounds", [5, pytest.param(84, marks=pytest.mark.faults)])
@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
def test_a_save_of_the_admin_writes_what_was_changed_and_nothing_else(race: Callable[[Arena], None], rounds: int):
    """12 races, 84 times each: 1,008."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        arena = Arena(Cast.make(), random.Random(16), pool)
        for _ in range(rounds):
            race(arena)
    assert Order.objects.count() <= 2 * rounds
