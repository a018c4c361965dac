"""Forms of the admin write what was changed in them, on top of what was seen, and only while they may."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session
from django.db import IntegrityError, connection
from django.db.models.functions import Now
from django.test import Client

from backend.accounts import actions as accounts
from backend.accounts.models import User
from backend.entities.admin_site import admin_site
from backend.posts.models import Comment, Post
from backend.shop.catalogue.actions import create_product, delete_product, update_product
from backend.shop.models import Product, Tag
from backend.shop.orders.actions import Line, place_order
from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.models import LoggedChange
from lockstep.rest.violations import violation
from tests.admin_pages import admin_of, errors_of, opened, sent_by
from tests.support import Cast

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def admin(cast: Cast) -> Client:
    return admin_of(cast.staff.user)


@pytest.fixture
def product(cast: Cast) -> Product:
    made = create_product(actor="", owner=cast.owner.user, name="lamp", price=Decimal("5.00"), stock=10)
    return Product.objects.get(pk=made.pk)


def page_of(row: Any, what: str = "change") -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/{what}/"


def values_of(row: Any, *names: str) -> tuple[object, ...]:
    row.refresh_from_db()
    return tuple(getattr(row, name) for name in names)


class TestWhatIsWritten:
    def test_a_sale_beside_an_open_form_stays_a_sale(self, admin: Client, cast: Cast, product: Product):
        form = opened(admin, page_of(product))
        place_order(actor="", buyer=cast.colleague.user, lines=[Line(product.pk, 4)])
        assert admin.post(page_of(product), form | {"description": "bright"}).status_code == 302
        assert values_of(product, "stock", "description") == (6, "bright")
        assert sum(product.movements.values_list("delta", flat=True)) == 6

    def test_fields_that_others_changed_are_kept_and_named(self, admin: Client, product: Product):
        form = opened(admin, page_of(product))
        update_product(actor="", product=product, price=Decimal("7.00"), name="big lamp")
        answer = admin.post(page_of(product), form | {"description": "bright"}, follow=True)
        assert values_of(product, "name", "price", "description") == ("big lamp", Decimal("7.00"), "bright")
        assert "Changed elsewhere since you opened the page, and kept: Name, Price." in answer.content.decode()

    def test_a_form_in_which_nothing_was_changed_writes_nothing(self, admin: Client, product: Product):
        form = opened(admin, page_of(product))
        update_product(actor="", product=product, price=Decimal("7.00"))
        version = values_of(product, "version")
        assert admin.post(page_of(product), form).status_code == 302
        assert values_of(product, "version") == version

    @pytest.mark.parametrize("body", ["a\nb\n", "a\r\nb", "\n\n a", "a\rb", " \t", "x" * 5_000])
    def test_a_text_that_was_not_edited_stays_as_it_is(self, admin: Client, body: str):
        post = Post.objects.create(title="title", body=body)
        assert admin.post(page_of(post), opened(admin, page_of(post)) | {"title": "new"}).status_code == 302
        assert values_of(post, "title", "body") == ("new", body)

    def test_lines_of_an_edited_text_end_with_a_newline_alone(self, admin: Client):
        post = Post.objects.create(title="title", body="a\nb")
        assert admin.post(page_of(post), opened(admin, page_of(post)) | {"body": "a\r\nc\r\n"}).status_code == 302
        assert values_of(post, "body") == ("a\nc\n",)
        assert LoggedChange.objects.history(post.pk).last().after["body"] == "a\nc\n"

    def test_a_title_with_a_newline_is_not_edited_by_an_input_of_one_line(self, admin: Client):
        post = Post.objects.create(title="one\ntwo", body="body")
        form = opened(admin, page_of(post))
        form["title"] = "onetwo"  # what a browser makes of it
        assert admin.post(page_of(post), form | {"body": "new"}).status_code == 302
        assert values_of(post, "title", "body") == ("one\ntwo", "new")

    def test_a_value_older_than_its_rule_keeps_no_other_field_from_being_changed(self, admin: Client):
        comment = Comment.objects.create(post=Post.objects.create(title="t", body="b"), name="n", email="x", body="b")
        assert admin.post(page_of(comment), opened(admin, page_of(comment)) | {"body": "new"}).status_code == 302
        assert values_of(comment, "email", "body") == ("x", "new")
        answer = admin.post(page_of(comment), opened(admin, page_of(comment)) | {"email": "y"})
        assert errors_of(answer) == {"email": "Enter a valid email address."}

    def test_the_update_names_the_changed_columns_only(self, admin: Client, product: Product):
        form = opened(admin, page_of(product))
        with connection.execute_wrapper(statements := _Statements()):
            admin.post(page_of(product), form | {"description": "bright"})
        [update] = [one for one in statements.seen if one.startswith('UPDATE "shop_product"')]
        assert update.startswith('UPDATE "shop_product" SET "description" = %s WHERE')


class _Statements:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.seen.append(sql)
        return execute(sql, params, many, context)


class TestStaleForms:
    def test_a_field_that_both_changed_is_refused_with_both_values(self, admin: Client, cast: Cast, product: Product):
        form = opened(admin, page_of(product))
        place_order(actor="", buyer=cast.colleague.user, lines=[Line(product.pk, 4)])
        refused = admin.post(page_of(product), form | {"stock": "12", "description": "bright"})
        errors = errors_of(refused)
        assert set(errors) == {"__all__", "stock"}
        assert "Current: <q>6</q>" in errors["stock"] and "Yours: <q>12</q>" in errors["stock"]
        assert "Nothing has been saved" in errors["__all__"]
        assert values_of(product, "stock", "description") == (6, "")

    def test_saving_again_overwrites_the_conflict(self, admin: Client, product: Product):
        form = opened(admin, page_of(product))
        update_product(actor="", product=product, stock=6, price=Decimal("7.00"))
        again = sent_by(admin.post(page_of(product), form | {"stock": "12"}))
        assert (again["stock"], again["price"]) == ("12", "7.00")  # theirs where this form changed nothing
        assert admin.post(page_of(product), again).status_code == 302
        assert values_of(product, "stock", "price") == (12, Decimal("7.00"))

    def test_saving_again_is_refused_when_it_has_moved_again(self, admin: Client, product: Product):
        form = opened(admin, page_of(product))
        update_product(actor="", product=product, stock=6)
        again = sent_by(admin.post(page_of(product), form | {"stock": "12"}))
        update_product(actor="", product=product, stock=5)
        assert "Current: <q>5</q>" in errors_of(admin.post(page_of(product), again))["stock"]
        assert values_of(product, "stock") == (5,)

    def test_the_same_change_by_both_is_no_conflict(self, admin: Client, product: Product):
        form = opened(admin, page_of(product))
        update_product(actor="", product=product, name="big lamp")
        assert admin.post(page_of(product), form | {"name": "big lamp"}).status_code == 302

    def test_the_second_of_two_admins_sees_a_conflict(self, admin: Client, cast: Cast, product: Product):
        other = admin_of(User.objects.create_superuser("other", password="x"))
        forms = [opened(one, page_of(product)) for one in (admin, other)]
        assert admin.post(page_of(product), forms[0] | {"name": "red lamp"}).status_code == 302
        errors = errors_of(other.post(page_of(product), forms[1] | {"name": "blue lamp"}))
        assert "Current: <q>red lamp</q>" in errors["name"]
        assert values_of(product, "name") == ("red lamp",)

    @pytest.mark.parametrize("shown", [None, "", "forged", "another's"])
    def test_a_form_without_digests_is_refused(self, admin: Client, cast: Cast, product: Product, shown: Any):
        form = opened(admin, page_of(product))
        other = create_product(actor="", owner=cast.owner.user, name="lamp", price=Decimal("5.00"), stock=10)
        if shown is None:
            del form["_shown"]
        else:
            form["_shown"] = opened(admin, page_of(other))["_shown"] if shown == "another's" else shown
        update_product(actor="", product=product, stock=6)
        errors = errors_of(admin.post(page_of(product), form | {"description": "bright"}))
        assert set(errors) == {"__all__", "stock", "description"}
        assert values_of(product, "stock", "description") == (6, "")

    def test_values_are_quoted_as_text(self, admin: Client, product: Product):
        form = opened(admin, page_of(product))
        update_product(actor="", product=product, description="<script>")
        page = admin.post(page_of(product), form | {"description": "<b>"}).content.decode()
        assert "<q>&lt;script&gt;</q>" in page and "<q>&lt;b&gt;</q>" in page
        assert "<q><" not in page

    def test_groups_and_permissions_are_compared_too(self, admin: Client, cast: Cast):
        groups = [Group.objects.create(name=name) for name in ("sales", "support")]
        user = cast.owner.user
        form = opened(admin, page_of(user))
        user.groups.add(groups[0])
        assert admin.post(page_of(user), form | {"first_name": "Ada"}).status_code == 302
        assert list(user.groups.all()) == groups[:1]
        assert "sales" in errors_of(admin.post(page_of(user), form | {"groups": [groups[1].pk]}))["groups"]
        assert list(user.groups.all()) == groups[:1]

    def test_an_error_in_another_field_keeps_the_shown_digests(self, admin: Client, product: Product):
        form = opened(admin, page_of(product))
        again = sent_by(admin.post(page_of(product), form | {"price": "-1", "stock": "12"}))
        update_product(actor="", product=product, stock=6)
        assert "stock" in errors_of(admin.post(page_of(product), again | {"price": "6"}))


class TestDeletedObjects:
    def test_a_deleted_row_stays_deleted(self, admin: Client, product: Product):
        form = opened(admin, page_of(product))
        delete_product(actor="", product=product)
        answer = admin.post(page_of(product), form | {"name": "back"}, follow=True)
        assert "Perhaps it was deleted?" in answer.content.decode()
        assert Product.objects.filter(pk=product.pk, deleted=None).count() == 0

    def test_a_deleted_account_stays_deleted_and_signed_out(self, admin: Client, cast: Cast):
        form = opened(admin, page_of(cast.owner.user))
        accounts.delete_account(actor="", user=cast.owner.user)
        assert admin.post(page_of(cast.owner.user), form | {"first_name": "Ada"}).status_code == 302
        form = {"usable_password": "true", "password1": "correct horse", "password2": "correct horse"}
        assert admin.post(page_of(cast.owner.user, "password"), form).status_code == 404
        assert values_of(cast.owner.user, "first_name")[0] == ""
        assert User.objects.alive().filter(pk=cast.owner.user.pk).count() == 0

    def test_new_rows_of_a_deleted_parent_are_refused(self, admin: Client, cast: Cast):
        post = Post.objects.create(title="t", body="b", deleted=Now())
        form = {"post": post.pk, "name": "n", "email": "e@example.com", "body": "b"}
        assert "post" in errors_of(admin.post("/admin/posts/comment/add/", form))
        accounts.delete_account(actor="", user=cast.owner.user)
        form = {"owner": cast.owner.user.pk, "name": "n", "price": "1", "stock": "1", "links-TOTAL_FORMS": 0}
        answer = admin.post("/admin/shop/product/add/", form | {"links-INITIAL_FORMS": 0})
        assert "owner" in errors_of(answer)


class TestRefusalsOfTheDatabase:
    def test_a_refusal_of_the_database_is_an_error_of_the_form(self, admin: Client, monkeypatch: pytest.MonkeyPatch):
        Tag.objects.create(name="red")
        monkeypatch.setattr(Tag, "validate_constraints", lambda *_, **__: None)  # as when both are sent at once
        answer = admin.post("/admin/shop/tag/add/", {"name": "RED", "description": ""})
        assert errors_of(answer) == {"name": "A tag with this name exists already."}

    def test_the_sentence_of_a_trigger_is_the_error(self, cast: Cast):
        with pytest.raises(IntegrityError) as refused:
            Product.objects.create(owner=cast.owner.user, name="n", price=1, state="OFF_SALE")
        assert violation(Product, refused.value) == (None, "No transition of a product leads from nothing to OFF_SALE.")


class TestTheUserWhoWrites:
    @pytest.mark.parametrize(
        "loss", [{"is_active": False}, {"is_staff": False}, {"deleted": Now()}, {"password": "another"}]
    )
    def test_a_user_who_is_no_longer_entitled_writes_nothing(self, cast: Cast, product: Product, loss: dict[str, Any]):
        clerk = User.objects.create_user("clerk", password="x", is_staff=True)
        clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_product", "change_product"]))
        admin = admin_of(clerk)
        form = opened(admin, page_of(product))
        User.objects.filter(pk=clerk.pk).update(**loss)
        answer = admin.post(page_of(product), form | {"name": "mine"})
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/admin/login/")
        assert values_of(product, "name") == ("lamp",)

    @pytest.mark.parametrize("loss", ["is_staff", "is_active", "permission", "session"])
    def test_rights_withdrawn_while_the_body_is_read_are_lost(
        self, cast: Cast, product: Product, monkeypatch: pytest.MonkeyPatch, loss: str
    ):
        """The write uses the user and permissions read in its transaction, not those of the middleware."""
        clerk = User.objects.create_user("clerk", password="x", is_staff=True)
        clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_product", "change_product"]))
        admin = admin_of(clerk)
        form = opened(admin, page_of(product))

        def begun(**actor: Any) -> Any:
            if loss == "permission":
                clerk.user_permissions.clear()
            elif loss == "session":
                Session.objects.all().delete()
            else:
                User.objects.filter(pk=clerk.pk).update(**{loss: False})
            return attributed_transaction(**actor)

        monkeypatch.setattr("backend.entities.admin_site.attributed_transaction", begun)
        assert admin.post(page_of(product), form | {"name": "mine"}).status_code == 403
        assert values_of(product, "name") == ("lamp",)

    def test_no_list_writes_rows_that_it_read_earlier(self):
        assert [pages for pages in admin_site._registry.values() if pages.list_editable] == []
