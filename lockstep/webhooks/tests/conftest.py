from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from django.conf import settings

from lockstep.webhooks.tests.receiver import Receiver, receiving


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver, on a network that is opened for it."""
    monkeypatch.setitem(settings.LOCKSTEP, "WEBHOOK_ALLOW_NETWORKS", [ip_network("127.0.0.0/8")])
    with receiving() as receiver:
        yield receiver
