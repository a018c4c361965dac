"""A catalogue to look at."""

from collections.abc import Iterator

import pytest

from backend.movies import catalogue
from backend.movies.models import Movie
from devstack.sandbox.november7 import NO_FAULTS, StandIn


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> None:
    catalogue.freshness_cache.clear()


@pytest.fixture
def provider(settings) -> Iterator[StandIn]:
    """The provider on a good day."""
    with StandIn(profile=NO_FAULTS) as provider:
        settings.MOVIES_PROVIDER_URL = provider.url
        yield provider


@pytest.fixture
def movies(db: None, provider: StandIn) -> list[Movie]:
    """All of the provider's, here."""
    catalogue.refresh()
    return list(Movie.objects.order_by("title", "id"))
