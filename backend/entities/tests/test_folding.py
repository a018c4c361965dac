"""lockstep_fold, the lookups that mean it, and the fields that store texts in one form."""

# ruff: noqa: RUF001 - letters that look like others are what this is about

import random
import re
import unicodedata

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from backend.accounts.models import User
from backend.entities.addresses import readable_address
from backend.entities.folding import AddressField, LabelField, NormalTextField, UsernameField, fold
from lockstep.rest import text

pytestmark = pytest.mark.django_db

ASSIGNED = [chr(code) for code in range(1, 0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs")]
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def nfkc_casefold(value: str) -> str:
    """The same by Python's tables (UAX #31, after what Unicode's chapter 3.13 says of compatibility matches)."""
    folded = unicodedata.normalize("NFD", INVISIBLE.sub("", value)).casefold()
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", folded).casefold())
    return unicodedata.normalize("NFC", folded)


def folded(texts: list[str]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lockstep_fold(value) FROM unnest(%s::text[]) WITH ORDINALITY AS t (value, n) ORDER BY n", [texts]
        )
        return [row for (row,) in cursor.fetchall()]


def test_every_character_is_folded_as_in_unicode():
    of_interest = [one for one in ASSIGNED if nfkc_casefold(one) != one]
    characters = of_interest + ASSIGNED[::100]
    assert len(of_interest) > 6_000
    wrong = [
        (value, got) for value, got in zip(characters, folded(characters), strict=True) if got != nfkc_casefold(value)
    ]
    assert wrong == []


def test_folding_a_text_follows_unicode_and_is_idempotent():
    random.seed(35)
    odd = "ßẞİıſ\u212a\u212bςσΣ\u0345\u0301\u0316ﬁ①ᾳ\u200d\u00ad\u034fÄ\uff21가\u1100\u1161"
    texts = [
        "".join(random.choice(odd if random.random() < 0.5 else ASSIGNED) for _ in range(random.randint(1, 12)))
        for _ in range(3_000)
    ]
    got = folded(texts)
    assert [pair for pair in zip(texts, got, strict=True) if pair[1] != nfkc_casefold(pair[0])] == []
    assert folded(got) == got


def test_folding_does_not_depend_on_the_search_path():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL search_path = ''")
        cursor.execute("SELECT public.lockstep_fold('ÄDA')")
        assert cursor.fetchone() == ("äda",)


@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0f73", "\u0345\u0301"])
def test_marks_beyond_the_thirtieth_in_a_row_make_no_difference(marks: str):
    many, more = folded(["a" + marks * 40, "a" + marks * 2_000])
    assert many == more
    assert fold("a" + marks * 14) != many


@pytest.mark.parametrize(
    ("lookup", "value"),
    [
        ("username__iexact", "\uff21DA"),
        ("username__icontains", "D"),
        ("username__istartswith", "A\u00ad"),
        ("username__iendswith", "Da"),
        ("first_name__icontains", "CAFE\u0301_100"),
    ],
)
def test_lookups_that_ignore_case_compare_folded(lookup: str, value: str):
    ada = User.objects.create(username="ada", first_name="Café_100%")
    User.objects.create(username="x", first_name="CaféX100%")
    assert list(User.objects.filter(**{lookup: value})) == [ada]
    assert "lockstep_fold" in str(User.objects.filter(**{lookup: value}).query)


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        (NormalTextField(), "\ufb01 e\u0301", "\ufb01 é"),
        (LabelField(), "e\u0301", "é"),
        (UsernameField(max_length=150), "\uff21da\u212a", "AdaK"),
        (AddressField(), "\uff41@B\u00dcCHER.example", "a@xn--bcher-kva.example"),
        (AddressField(), "a@[127.0.0.1]", "a@[127.0.0.1]"),
        (AddressField(), "", ""),
    ],
)
def test_fields_store_one_form(field, value: str, stored: str):
    assert field.to_python(value) == field.get_prep_value(value) == stored
    assert field.to_python(None) is None
    assert field.deconstruct()[1].startswith("django.db.models.")


@pytest.mark.parametrize(
    ("field", "value"),
    [(LabelField(), "a\u200b"), (UsernameField(max_length=150), "a\u202e"), (AddressField(), "a@😀.example")],
)
def test_fields_refuse_in_forms_and_leave_lookups_alone(field, value: str):
    with pytest.raises(ValidationError):
        field.to_python(value)
    assert field.get_prep_value(value) == value


def test_joiners_of_letters_and_pictures_are_no_invisible_characters():
    for name in ("👩\u200d👧", "❤\ufe0f", "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"):
        text.check_visible(name)


def test_an_address_is_shown_with_the_letters_of_its_domain():
    assert readable_address("ada@xn--bcher-kva.example") == "ada@bücher.example"
    assert readable_address("ada@xn--\x7f.example") == "ada@xn--\x7f.example"
    assert readable_address("") == ""
