"""The provider's movies, kept here whatever the provider does."""

import json
from io import StringIO
from unittest.mock import patch
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY

from backend.accounts.models import User
from backend.accounts.sessions import open_opaque
from backend.movies import catalogue
from backend.movies.catalogue import RefreshInProgress
from backend.movies.models import Catalogue, Movie
from devstack.sandbox.november7 import NO_FAULTS, OBSERVED, FaultProfile, StandIn
from lockstep.changes.models import LoggedChange
from lockstep.http.errors import ProviderError
from tests.support import Cast, in_threads

PATH = "/api/v1/movies/"
GONE = "http://127.0.0.1:9"
BROKEN = FaultProfile(refused=1.0)


def age(seconds: int) -> None:
    """Lets so much time have passed since the last refresh."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE movies_catalogue SET refreshed = now() - make_interval(secs => %s), complete = NULL", [seconds]
        )
    catalogue.freshness_cache.clear()


def at_once() -> None:
    """Lets the pause after a failure be over."""
    Catalogue.objects.update(retry_at="2026-01-01T00:00:00Z", lease_until="2026-01-01T00:00:00Z")


def command(*arguments: str) -> str:
    said = StringIO()
    call_command("refresh_movies", *arguments, stdout=said)
    return said.getvalue()


@pytest.mark.django_db
class TestRefresh:
    def test_refresh_imports_every_movie_once(self, provider: StandIn):
        assert catalogue.refresh().whole
        before = LoggedChange.objects.filter(model="movies.movie").count()
        assert before == Movie.objects.count() == 96
        assert set(LoggedChange.objects.filter(model="movies.movie").values_list("origin", flat=True)) == {"november7"}
        assert catalogue.refresh().movies == 96
        assert LoggedChange.objects.filter(model="movies.movie").count() == before
        assert provider.counts() == {"GET /movies": 2}

    def test_a_changed_movie_is_a_change(self, provider: StandIn, movies: list[Movie]):
        provider.movies[3]["title"] = "Another Title"
        catalogue.refresh()
        [change] = LoggedChange.objects.filter(model="movies.movie", kind="updated")
        assert (change.after["title"], change.after["remote_id"]) == ("Another Title", provider.movies[3]["id"])

    def test_the_older_schema_erases_nothing(self, provider: StandIn, movies: list[Movie]):
        provider.set_faults(FaultProfile(older=1.0))
        provider.movies[0]["title"] = "New"
        catalogue.refresh()
        movie = Movie.objects.get(remote_id=provider.movies[0]["id"])
        assert movie.title == "New"
        assert movie.description and movie.image_url and movie.rating is not None

    @pytest.mark.parametrize("fault", [{"status": 404}, {"empty": True}, {"garbage": True}, {"cut": True}])
    def test_failed_refresh_erases_nothing(self, provider: StandIn, movies: list[Movie], fault: dict):
        provider.faults(**fault)
        with pytest.raises(ProviderError), patch("backend.movies.catalogue.FETCH_SECONDS", 0.3):
            catalogue.refresh()
        assert Movie.objects.alive().count() == 96
        outcome = "404" if fault.get("status") else "garbled"
        assert REGISTRY.get_sample_value("lockstep_movies_provider_answers_total", {"outcome": outcome})
        state = Catalogue.objects.get()
        assert (state.failures, state.retry_at > state.refreshed) == (1, True)
        assert state.outcome

    def test_empty_listing_erases_nothing(self, provider: StandIn, movies: list[Movie]):
        provider.movies.clear()
        assert not catalogue.refresh().whole
        assert Movie.objects.alive().filter(missing_since=None).count() == 96
        assert Catalogue.objects.get().failures == 1

    def test_partial_listing_erases_nothing(self, provider: StandIn, movies: list[Movie]):
        with patch("backend.providers.november7.client.ALL", 40):
            done = catalogue.refresh()
        assert (done.movies, done.total, done.whole, done.missing) == (40, 96, False, 0)
        assert Movie.objects.alive().count() == 96

    def test_one_unstorable_movie_does_not_affect_the_others(self, provider: StandIn, movies: list[Movie], cast: Cast):
        provider.movies[5]["title"] = "New"
        odd = provider.movies[3] | {"title": "\ud800"}
        items = [odd if movie["id"] == odd["id"] else movie for movie in provider.movies]
        provider.faults(body=json.dumps({"total": len(items), "items": items}))
        done = catalogue.refresh()
        assert (done.movies, done.whole, done.missing) == (95, True, 0)
        assert "1 left out" in Catalogue.objects.get().outcome
        assert Movie.objects.get(remote_id=odd["id"]).title != "New"
        assert cast.outsider.get(f"{PATH}?query=New").json()["count"] == 1

    def test_a_failure_on_our_own_side_is_recorded_and_backed_off(
        self, provider: StandIn, movies: list[Movie], cast: Cast, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(catalogue, "_row", lambda movie: {"remote_id": "none", "title": "\ud800"})
        age(10**6)
        assert cast.outsider.get(f"{PATH}?query=nothing-like-it").status_code == 200
        state = Catalogue.objects.get()
        assert state.failures == 1
        assert "DataError" in state.outcome
        asked = provider.counts()
        catalogue.refresh_when_due()
        assert provider.counts() == asked

    def test_movies_missing_in_a_complete_listing_are_deleted_by_prune_only(
        self, provider: StandIn, movies: list[Movie]
    ):
        gone = provider.movies.pop()
        assert "Not in the catalogue: 1 movie of ours; --prune deletes them." in command()
        assert Movie.objects.alive().count() == 96
        assert "Deleted 1 movie." in command("--prune")
        assert Movie.objects.alive().count() == 95
        assert LoggedChange.objects.get(model="movies.movie", kind="deleted").before["title"] == gone["title"]
        provider.movies.append(gone)
        command()
        assert Movie.objects.alive().filter(missing_since=None).count() == 96

    def test_a_failure_pauses_calls_of_all_processes(self, provider: StandIn, movies: list[Movie]):
        provider.set_faults(BROKEN)
        age(10**6)
        with patch("backend.movies.catalogue.FETCH_SECONDS", 0.2):
            for _ in range(3):
                catalogue.refresh_when_due()
        called = sum(provider.counts().values())
        catalogue.refresh_when_due()
        assert sum(provider.counts().values()) == called
        assert Catalogue.objects.get().failures == 1
        at_once()
        provider.set_faults(NO_FAULTS)
        catalogue.refresh_when_due()
        assert Catalogue.objects.get().failures == 0

    def test_refresh_is_not_due_while_the_catalogue_is_young(self, provider: StandIn, movies: list[Movie]):
        provider.forget_requests()
        catalogue.refresh_when_due()
        assert provider.counts() == {}

    def test_refresh_is_due_after_the_clock_stepped_back(self, provider: StandIn, movies: list[Movie]):
        """Refresh, pause and claim are of a moment that is an hour ahead."""
        provider.forget_requests()
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE movies_catalogue SET refreshed = refreshed + gap, complete = complete + gap,"
                " retry_at = retry_at + gap, lease_until = lease_until + gap"
                " FROM (SELECT interval '1 hour' AS gap) AS step"
            )
        catalogue.refresh_when_due()
        assert sum(provider.counts().values()) > 0
        provider.forget_requests()
        catalogue.refresh_when_due()
        assert provider.counts() == {}

    def test_a_late_request_that_saw_an_empty_catalogue_does_not_fetch(self, provider: StandIn, movies: list[Movie]):
        provider.forget_requests()
        with pytest.raises(RefreshInProgress):
            catalogue.refresh(older_than=catalogue.NEVER_FETCHED)
        assert provider.counts() == {}

    def test_the_command_reports_the_providers_error(self, provider: StandIn, settings, movies: list[Movie]):
        with (
            pytest.raises(CommandError, match="Another process is refreshing"),
            patch("backend.movies.catalogue.refresh", side_effect=RefreshInProgress),
        ):
            command()
        provider.movies.clear()
        with pytest.raises(CommandError, match="requires a complete catalogue"):
            command("--prune")
        settings.MOVIES_PROVIDER_URL = GONE
        with (
            pytest.raises(CommandError, match="Nothing was deleted"),
            patch("backend.movies.catalogue.FETCH_SECONDS", 0.1),
        ):
            command()


@pytest.mark.django_db
class TestResponse:
    def test_response_has_its_age_and_whether_it_is_stale(self, cast: Cast, movies: list[Movie], settings):
        settings.MOVIES_PROVIDER_URL = GONE
        age(100)
        answer = cast.owner.get(PATH)
        assert (100 <= int(answer["Age"]) < 110, answer.json()["stale"]) == (True, False)
        age(settings.MOVIES_STALE_SECONDS + 5)
        answer = cast.owner.get(PATH)
        assert (answer.status_code, answer.json()["stale"], answer.json()["count"]) == (200, True, 96)
        settings.LOCKSTEP = settings.LOCKSTEP | {"REST_METRICS_TOKEN": "figures"}
        figures = Client().get("/metrics", headers={"authorization": "Bearer figures"}).content.decode()
        assert 'lockstep_movies_answers_total{freshness="stale"}' in figures

    @pytest.mark.parametrize("profile", [BROKEN, FaultProfile(hanging=1.0, hang=3_600.0)])
    @pytest.mark.slow
    def test_empty_catalogue_without_a_provider_is_503(self, cast: Cast, provider: StandIn, profile: FaultProfile):
        provider.set_faults(profile)
        for path in (PATH, f"{PATH}{UUID(int=1)}/"):
            answer = cast.owner.get(path)
            assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
            assert int(answer["Retry-After"]) > 0
        assert Catalogue.objects.get().failures == 1

    def test_a_miss_refreshes_once_within_its_ttl(self, cast: Cast, provider: StandIn, movies: list[Movie]):
        new = dict(provider.movies[0], id=str(UUID(int=7)), title="Unheard of")
        provider.movies.append(new)
        provider.forget_requests()
        for path in (f"{PATH}?query=unheard", f"{PATH}{UUID(int=7)}"):  # what is here came a moment ago
            assert cast.owner.get(path).json().get("count", 0) == 0
        assert provider.counts() == {}
        age(60)
        found = cast.owner.get(f"{PATH}{UUID(int=7)}")
        assert (found.json()["title"], int(found["Age"]) < 60) == ("Unheard of", True)
        assert cast.owner.get(f"{PATH}?query=unheard").json()["count"] == 1
        assert cast.owner.get(f"{PATH}?query=nowhere").json()["count"] == 0
        assert provider.counts() == {"GET /movies": 1}

    def test_search_without_a_match_is_empty_while_the_provider_fails(
        self, cast: Cast, provider: StandIn, movies: list[Movie]
    ):
        provider.set_faults(BROKEN)
        provider.forget_requests()
        age(60)
        answers = [cast.owner.get(f"{PATH}?query=nowhere") for _ in range(3)]
        assert [(answer.status_code, answer.json()["count"]) for answer in answers] == [(200, 0)] * 3
        assert cast.owner.get(f"{PATH}{UUID(int=7)}").status_code == 404
        assert provider.counts() == {"GET /movies": 5}  # one fetch, with all its attempts
        with CaptureQueriesContext(connection) as captured:
            cast.owner.get(f"{PATH}?query=nowhere")
        assert not [query for query in captured if "INSERT INTO movies_catalogue" in str(query["sql"])]

    def test_an_empty_catalogue_is_fetched(self, cast: Cast, provider: StandIn):
        assert cast.owner.get(PATH).json()["count"] == 96
        assert provider.counts() == {"GET /movies": 1}


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(300)
def test_500_searches_at_once_on_a_cold_catalogue_are_one_call(provider: StandIn):
    provider.faults(latency=0.3)
    token = open_opaque(User.objects.create_user("someuser"))

    def search(_: int) -> tuple[int, int]:
        answer = Client().get(f"{PATH}?query=quiet", headers={"authorization": f"Bearer {token}"})
        return answer.status_code, len(answer.json().get("results", []))

    assert set(in_threads(16, search, range(500))) == {(200, 10)}
    assert provider.counts() == {"GET /movies": 1}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("searches", "provider_is_there"),
    [
        pytest.param(200, True, marks=pytest.mark.slow),
        pytest.param(200, False, marks=pytest.mark.slow),
        pytest.param(10_000, True, marks=pytest.mark.faults),
        pytest.param(10_000, False, marks=pytest.mark.faults),
    ],
)
def test_every_search_returns_its_matches_whatever_the_provider_does(
    cast: Cast, provider: StandIn, movies: list[Movie], settings, searches: int, provider_is_there: bool
):
    """The provider fails as often as it was seen to, cuts, hangs, gives the older schema; or is not there at all."""
    provider.set_faults(FaultProfile(**{**vars(OBSERVED), "cut": 0.02, "older": 0.1}))
    if not provider_is_there:
        settings.MOVIES_PROVIDER_URL = GONE
    words = sorted({word for movie in movies for word in movie.title.lower().split()})
    with patch("backend.movies.catalogue.FETCH_SECONDS", 0.3):
        for number in range(searches):
            if number % 100 == 0:  # as often as a worker might
                age(10**6)
                at_once()
                catalogue.refresh_when_due()
            word = words[number % len(words)]
            body = cast.owner.get(f"{PATH}?query={word}&limit=1000")
            assert body.status_code == 200
            shown = {(one["id"], one["title"], one["description"]) for one in body.json()["results"]}
            assert shown == {
                (str(movie.pk), movie.title, movie.description)
                for movie in movies
                if word in f"{movie.title} {movie.description}".lower()
            }
