"""Work of the movies in workers: refreshing the catalogue, and auditing the votes."""

from backend.movies.catalogue import catalogue_freshness, check_tallies, refresh_when_due
from lockstep.delivery.audit import register_check
from lockstep.delivery.periodic import PeriodicWork, register_periodic, with_orm
from lockstep.delivery.providers import Provider, register_provider

CHECK_SECONDS = 10.0

register_check(check_tallies)
register_provider(Provider("november7", freshness=catalogue_freshness))
register_periodic(PeriodicWork("movies-refresh", CHECK_SECONDS, with_orm(refresh_when_due)))
