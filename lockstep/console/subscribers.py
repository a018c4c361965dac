"""Registers the console's periodic work."""

from lockstep.console import recording, runs
from lockstep.console.reads.samples import record
from lockstep.delivery.periodic import PeriodicWork, register_periodic, with_orm

register_periodic(PeriodicWork("console-samples", 60.0, with_orm(record)))
register_periodic(PeriodicWork("console-operations", 600.0, with_orm(recording.remove_old)))
register_periodic(PeriodicWork(runs.WORK, runs.POLL_SECONDS, runs.start_waiting_runs))
