"""What a worker does for the movies: it keeps the catalogue fresh. Votes are counted where they are cast."""

from lockstep.delivery.audit import register_check
from lockstep.delivery.periodic import PeriodicWork, register_periodic, with_orm
from lockstep.movies.catalogue import check_tallies, refresh_when_due

LOOK_SECONDS = 10.0

register_check(check_tallies)
register_periodic(PeriodicWork("movies-refresh", LOOK_SECONDS, with_orm(refresh_when_due)))
