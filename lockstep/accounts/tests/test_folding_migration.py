"""What becomes of accounts and tags that were two by the old rule and are one by the new."""

from importlib import import_module

import pytest
from django.apps import apps
from django.core.management import CommandError
from django.db import connection

from lockstep.accounts.models import User
from lockstep.shop.models import Product, ProductTag, Tag

pytestmark = pytest.mark.django_db

accounts = import_module("lockstep.accounts.migrations.0010_folding")
shop = import_module("lockstep.shop.migrations.0010_folding")


@pytest.fixture(autouse=True)
def as_before(db: None) -> None:
    """Without the constraints, as the database is while the migration runs."""
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX accounts_user_username_ci, accounts_user_email_ci, shop_tag_name")
        cursor.execute("ALTER TABLE accounts_user DROP CONSTRAINT accounts_user_email_domain")


def user(username: str, email: str = "") -> User:
    """Past the fields, which would write the address in its new form."""
    made = User.objects.create(username=username)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_user SET email = %s WHERE id = %s", [email, made.pk])
    return made


def settle() -> None:
    with connection.schema_editor(atomic=False) as editor:
        accounts.settle(apps, editor)


def test_the_first_of_equal_names_stays_and_the_others_get_their_number(capsys: pytest.CaptureFixture[str]):
    first, second, third = user("Äda"), user("äda"), user("äDA")
    user(f"ÄDA-{third.number}")  # what the third would get
    settle()
    names = list(User.objects.order_by("number").values_list("username", flat=True))
    assert names[:3] == ["Äda", f"äda-{second.number}", f"äDA-{third.number}-"]
    told = capsys.readouterr().err
    assert f"Account {second.number} is called as account {first.number} by now" in told
    assert f"Account {third.number} is called as account {first.number} by now" in told


def test_equal_addresses_end_it_and_say_whose_they_are(capsys: pytest.CaptureFixture[str]):
    first, second = user("first", "kim@example.com"), user("second", "\u212aim@\uff45xample.com")
    with pytest.raises(CommandError, match=rf"{second.number} \(as {first.number}\)"):
        settle()


def test_addresses_are_written_in_the_new_form():
    user("one", "ada@bücher.example"), user("two", "ada@😀.example"), user("three", "a.b@example.com")
    settle()
    addresses = set(User.objects.values_list("email", flat=True))
    assert addresses == {"ada@xn--bcher-kva.example", "ada@xn--e28h.example", "a.b@example.com"}


def test_equal_tags_get_a_number_and_keep_their_products(capsys: pytest.CaptureFixture[str]):
    tags = [Tag.objects.create(name=name) for name in ("Été", "été", "ete", "ÉTÉ (2)")]
    product = Product.objects.create(owner=user("owner"), name="a thing", price=1)
    ProductTag.objects.bulk_create(ProductTag(product=product, tag=tag) for tag in tags)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    with connection.schema_editor(atomic=False) as editor:
        shop.tell_apart(apps, editor)
        editor.execute("ALTER TABLE shop_product ADD COLUMN next_of_the_migration int")
    assert list(Tag.objects.order_by("id").values_list("name", flat=True)) == ["Été", "été (3)", "ete", "ÉTÉ (2)"]
    product.refresh_from_db()
    assert product.tags == ["ete", "Été", "ÉTÉ (2)", "été (3)"]
    assert "'été' is the same as 'Été' by now: it is called 'été (3)'" in capsys.readouterr().err
