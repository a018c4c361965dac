"""Metrics of mirrors, from the database: whether repairs have stopped, and the result of the last drift check."""

from collections.abc import Iterable

from django.db import connection
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lockstep.delivery.metrics import gauge
from lockstep.mirror.collections import registered_providers
from lockstep.mirror.state import SQL, stops


class Mirrors(Collector):
    """One sample for each provider."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """A provider that no drift check has looked at yet has no drift."""
        providers, stopped, drift = registered_providers(), stops(), dict[str, float]()
        with connection.cursor() as cursor:
            for provider in providers:
                cursor.execute(SQL["last_drift"], {"provider": provider})
                drift[provider] = (cursor.fetchone() or (0,))[0]
        yield gauge(
            "lockstep_mirror_stopped",
            "1 where mending the provider has stopped for a person.",
            "provider",
            {provider: provider in stopped for provider in providers},
        )
        yield gauge(
            "lockstep_mirror_drift_objects",
            "Objects that differed at the provider, by others' hands, at the last drift check.",
            "provider",
            drift,
        )
