from collections.abc import Iterator

import pytest
from django.conf import settings

from devstack.sandbox.jsonplaceholder import StandIn
from lockstep.mirror.tests.support import Provider


@pytest.fixture
def provider(transactional_db: None) -> Iterator[Provider]:
    """A stand-in that keeps what is written, with 10 posts and 20 comments."""
    with StandIn(posts=10, comments_per_post=2) as server:
        settings.POSTS_PROVIDER_URL = server.url
        yield Provider(server)


@pytest.fixture
def amnesiac(transactional_db: None) -> Iterator[Provider]:
    """A stand-in that stores no writes, as the real server."""
    with StandIn("amnesiac", posts=10, comments_per_post=2) as server:
        settings.POSTS_PROVIDER_URL = server.url
        yield Provider(server)
