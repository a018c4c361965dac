"""A catalogue to look at."""

from collections.abc import Iterator

import pytest

from lockstep.movies import catalogue
from lockstep.movies.models import Movie
from lockstep.sandbox.november7 import CALM, StandIn


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> None:
    catalogue.remembered.forget()


@pytest.fixture
def provider(settings) -> Iterator[StandIn]:
    """The provider on a good day."""
    with StandIn(temper=CALM) as provider:
        settings.MOVIES_PROVIDER_URL = provider.url
        yield provider


@pytest.fixture
def movies(db: None, provider: StandIn) -> list[Movie]:
    """All of the provider's, here."""
    catalogue.refresh()
    return list(Movie.objects.order_by("title", "id"))
