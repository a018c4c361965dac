"""Defects, at both of their addresses."""

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from backend.defects.models import Defect
from lockstep.changes.models import LoggedChange
from tests.admin_pages import opened
from tests.support import Cast, Person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("cast")]

CANONICAL, FROZEN = "/api/v1/defects/", "/api/defects"


@pytest.fixture(params=[CANONICAL, FROZEN, f"{FROZEN}/"])
def path(request: pytest.FixtureRequest) -> str:
    return request.param


def comments(person: Person, query: str = "") -> list[str]:
    answer = person.get(f"{CANONICAL}{query}")
    assert answer.status_code == 200, answer.content
    return [one["comment"] for one in answer.json()["results"]]


def put(person: Person, path: str, **values: object):
    return person.client.put(path, values, content_type="application/json")


def test_the_reporter_is_the_requests_user(cast: Cast, path: str):
    answer = cast.owner.post(path, {"comment": "The door does not close."})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["user"], made["comment"]) == (cast.owner.user.number, "The door does not close.")
    for key in (made["id"], made["number"]):
        for base in (CANONICAL, f"{FROZEN}/"):
            for slash in ("", "/"):
                assert cast.colleague.get(f"{base}{key}{slash}").json() == made
    assert LoggedChange.objects.get(model="defects.defect").actor == f"user:{cast.owner.user.pk}"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "comment"),
        ({"comment": ""}, "comment"),
        ({"comment": None}, "comment"),
        ({"comment": "x" * 10_001}, "comment"),
        ({"comment": "a\0b"}, "comment"),
        ({"comment": "a", "text": "b"}, "text"),
    ],
)
def test_invalid_defects_are_400(cast: Cast, path: str, body: dict, field: str):
    answer = cast.owner.post(path, body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_a_defect_cannot_be_reported_for_another_user(cast: Cast, path: str):
    """A user that is sent along is what a client may send back as it was shown; it decides nothing."""
    answer = cast.owner.post(path, {"comment": "a", "user": cast.colleague.user.number})
    assert answer.json()["user"] == cast.owner.user.number


def test_every_user_may_edit_a_defect_and_its_reporter_stays(cast: Cast):
    made = cast.owner.post(CANONICAL, {"comment": "The dore."}).json()
    path = f"{FROZEN}/{made['id']}"
    answer = put(cast.colleague, path, comment="The door.")
    assert (answer.status_code, answer.json()["comment"], answer.json()["user"]) == (200, "The door.", made["user"])
    patched = cast.outsider.client.patch(path, {"comment": "The doors."}, content_type="application/json")
    assert patched.json()["comment"] == "The doors."
    history = cast.owner.get(f"/api/v1/history/defects.defect/{made['number']}/").json()["results"]
    assert [(entry["by"], entry["kind"]) for entry in history] == [
        ("outsider", "updated"),
        ("colleague", "updated"),
        ("owner", "created"),
    ]


def test_only_the_reporter_deletes_a_defect(cast: Cast):
    path = f"{FROZEN}/{cast.owner.post(CANONICAL, {'comment': 'a'}).json()['id']}"
    for person in (cast.colleague, cast.outsider, cast.staff):
        assert person.delete(path).status_code == 403
    assert cast.owner.delete(path).status_code == 204
    assert cast.owner.delete(path).status_code == 404
    assert cast.owner.get(path).status_code == 404
    assert put(cast.owner, path, comment="b").status_code == 404
    assert comments(cast.owner) == []


def test_a_concurrent_change_is_not_overwritten(cast: Cast):
    answer = cast.owner.post(CANONICAL, {"comment": "a"})
    path, seen = f"{CANONICAL}{answer.json()['id']}/", {"If-Match": answer["ETag"]}
    put(cast.colleague, path, comment="b")
    late = cast.owner.client.put(path, {"comment": "c"}, content_type="application/json", headers=seen)
    assert late.status_code == 412
    assert cast.owner.client.delete(path, headers=seen).status_code == 412
    assert comments(cast.owner) == ["b"]


def test_page_has_200_defects_by_default(cast: Cast, path: str):
    Defect.objects.bulk_create([Defect(user=cast.owner.user, comment=f"{n:03}") for n in range(205)])
    first = cast.colleague.get(path).json()
    assert [one["comment"] for one in first["results"]] == [f"{n:03}" for n in reversed(range(5, 205))]
    last = cast.colleague.get(first["next"]).json()
    assert [one["comment"] for one in last["results"]] == [f"{n:03}" for n in reversed(range(5))]
    assert last["next"] is None
    assert len(cast.colleague.get(f"{path}?offset=0").json()["results"]) == 200


@pytest.mark.parametrize("rows", [1, 150])
def test_list_takes_four_queries_whatever_its_length(cast: Cast, rows: int, django_assert_num_queries):
    Defect.objects.bulk_create([Defect(user=cast.owner.user, comment="a") for _ in range(rows)])
    with django_assert_num_queries(4):  # session, savepoint, the page, release
        assert len(comments(cast.owner)) == rows


def test_defects_are_filtered(cast: Cast):
    cast.owner.post(CANONICAL, {"comment": "The DOOR of coach 3"})
    cast.colleague.post(CANONICAL, {"comment": "100 % of the windows"})
    owner = cast.owner.user
    assert comments(cast.staff, f"?user={owner.number}") == ["The DOOR of coach 3"]
    assert comments(cast.staff, f"?user={owner.pk}") == ["The DOOR of coach 3"]
    assert comments(cast.staff, "?search=door") == ["The DOOR of coach 3"]
    assert comments(cast.staff, "?search=%25") == ["100 % of the windows"]
    assert comments(cast.staff, "?since=2100-01-01T00:00:00Z") == []
    assert comments(cast.staff, "?until=2100-01-01T00:00:00Z&ordering=created") == [
        "The DOOR of coach 3",
        "100 % of the windows",
    ]
    for query in ("user=unknown", "since=yesterday", "until=0", "ordering=user"):
        assert cast.staff.get(f"{CANONICAL}?{query}").status_code == 400


@pytest.mark.parametrize(
    ("rows", "index"),
    [
        (lambda: Defect.objects.alive().order_by("-id")[:200], "defects_newest"),
        (lambda: Defect.objects.alive().filter(user=1).order_by("-id")[:200], "defects_of"),
        (lambda: Defect.objects.saying("door of coach"), "defects_searched"),
    ],
)
def test_defects_are_found_by_their_index(cast: Cast, rows, index: str):
    Defect.objects.bulk_create(Defect(user=cast.owner.user, comment=f"window {n} of coach {n}") for n in range(500))
    Defect.objects.exclude(comment__endswith="0").update(deleted=Now())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE defects_defect")  # what earlier tests left there is not what the planner shall think of
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")  # so small is the table
    assert index in rows().explain()


def test_the_admins_user_is_the_reporter_of_a_defect_added_there(cast: Cast):
    admin = Client()
    admin.force_login(cast.staff.user)
    assert admin.post("/admin/defects/defect/add/", {"comment": "a", "user": cast.owner.user.pk}).status_code == 302
    made = Defect.objects.get()
    assert made.user == cast.staff.user
    assert ">staff<" in admin.get("/admin/defects/defect/").content.decode()
    page = f"/admin/defects/defect/{made.pk}/change/"
    assert ">staff<" in admin.get(page).content.decode()
    admin.post(page, opened(admin, page) | {"comment": "b", "user": cast.owner.user.pk})
    made.refresh_from_db()
    assert (made.comment, made.user) == ("b", cast.staff.user)
