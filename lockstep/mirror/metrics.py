"""Figures of mirrors, from the database: whether mending has stopped, and what the last drift check found."""

from collections.abc import Iterable

from django.db import connection
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lockstep.mirror.collections import registered_providers
from lockstep.mirror.state import SQL, stops


class Mirrors(Collector):
    """One sample for each provider."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """A provider that no drift check has looked at yet has no drift."""
        stopped = stops()
        stops_family = GaugeMetricFamily(
            "lockstep_mirror_stopped", "1 where mending the provider has stopped for a person.", labels=["provider"]
        )
        for provider in registered_providers():
            stops_family.add_metric([provider], provider in stopped)
        yield stops_family
        drift = GaugeMetricFamily(
            "lockstep_mirror_drift_objects",
            "Objects that differed at the provider, by others' hands, at the last drift check.",
            labels=["provider"],
        )
        with connection.cursor() as cursor:
            for provider in registered_providers():
                cursor.execute(SQL["last_drift"], {"provider": provider})
                drift.add_metric([provider], (cursor.fetchone() or (0,))[0])
        yield drift
