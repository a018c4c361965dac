"""`manage.py lockstep`: the worker, and the operations on deliveries."""

from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Unpack

from django.core.checks import run_checks
from django.core.management.base import CommandError
from django.db import transaction

from lockstep.changes import commands
from lockstep.changes.applied_migrations import migrations_are_pending
from lockstep.changes.capture import captured
from lockstep.changes.commands import counted
from lockstep.changes.imports import resync
from lockstep.conf import has_log_database, lockstep_settings
from lockstep.delivery import operations
from lockstep.delivery.audit import audit
from lockstep.delivery.epochs import Busy, NotOwner, SameCluster, begin_new_epoch, preview_new_epoch
from lockstep.delivery.heartbeat import worker_state
from lockstep.delivery.models import Subscription
from lockstep.delivery.operations import StillDeclared, UnknownSubscription, WrongState
from lockstep.delivery.periodic import overdue
from lockstep.management.arguments import Options, add_subcommands, chosen_changes, chosen_letters
from lockstep.management.lines import (
    SAME_WITHOUT_PLAN,
    SEE_WAITING,
    finding_lines,
    finding_steps,
    letter_line,
    letter_steps,
    preview_lines,
    replayed_lines,
    rewound_line,
    status_steps,
    status_table,
)
from lockstep.uninstall import ExtraNotInstalled, plan_uninstall, remaining_steps, uninstall

DIFFERENT, NOT_COMPARED = 2, 3  # exit codes of the audit


class Command(commands.Command):
    help = "Delivers changes (worker); shows waiting changes and dead letters; pauses, replays, discards, rewinds."
    has_json = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Adds the subcommands, each of which is a method of this class."""
        add_subcommands(parser)

    def handle(self, *, command: str, **options: Unpack[Options]) -> None:
        if not has_log_database():
            raise CommandError(f"The database {lockstep_settings.DATABASE!r} is not PostgreSQL: nothing is captured.")
        act: Callable[[Options], None] = getattr(self, "_" + command.replace("-", "_"))
        try:
            act(options)
        except UnknownSubscription as error:
            names = ", ".join(status.name for status in operations.status()) or "none"
            raise CommandError(f"{error} There are: {names}.") from error
        except (StillDeclared, SameCluster, WrongState, Busy, NotOwner, ExtraNotInstalled) as error:
            raise CommandError(str(error)) from error
        if options.get("plan"):
            self.suggest(SAME_WITHOUT_PLAN)

    def _worker(self, options: Options) -> None:
        from lockstep.delivery.process import run_worker
        from lockstep.delivery.supervisor import run_workers

        if options["processes"] > 1:
            run_workers(options["processes"])
            return

        def tell(text: str) -> None:
            self.stdout.write(text)
            self.stdout.flush()

        run_worker(tell=tell, warn=self.stderr.write)

    def _status(self, options: Options) -> None:
        rows = operations.status()
        self.report(rows, [status_table(rows)])
        if options["json"]:
            return
        if (workers := worker_state()) != "ok":
            self.stderr.write(f"No worker delivers: {workers}")
        elif late := overdue():
            text = "A worker that has just started does it soon; otherwise its log has the reason."
            self.stderr.write(f"Periodic work, not done for too long: {', '.join(late)}. {text}")
        self.suggest(*status_steps(rows))

    def _dead_letters(self, options: Options) -> None:
        name, limit = options["subscription"], options["limit"]
        rows = operations.dead_letters(chosen_changes(options), limit=limit)
        self.report(rows, [letter_line(row) for row in rows] or ["No dead letters."])
        self.suggest(*letter_steps(name, rows, limit))

    def _replay(self, options: Options) -> None:
        change_filter = chosen_letters(options)
        if options["plan"]:
            with self.progress("reading dead letters"):
                preview = operations.preview_letters(change_filter)
            self.report(preview, preview_lines("replay", preview, letters=True))
            return
        with self.progress("replaying dead letters"):
            done = operations.replay_letters(change_filter)
        self.report(done, replayed_lines(done, letters=True))
        self.suggest(SEE_WAITING)

    def _replay_changes(self, options: Options) -> None:
        change_filter = chosen_changes(options)
        if options["plan"]:
            with self.progress("reading the log"):
                preview = operations.preview_span(change_filter)
            self.report(preview, preview_lines("replay", preview))
            return
        with self.progress("replaying changes"):
            done = operations.replay_span(change_filter)
        self.report(done, replayed_lines(done))
        self.suggest(SEE_WAITING)

    def _discard(self, options: Options) -> None:
        change_filter = chosen_letters(options)
        if options["plan"]:
            with self.progress("reading dead letters"):
                preview = operations.preview_discard(change_filter)
            self.report(preview, preview_lines("discard", preview))
            return
        with self.progress("discarding dead letters"):
            count = operations.discard_letters(change_filter, reason=options["reason"])
        line = f"Discarded {counted(count, 'dead letter')}." if count else "Nothing to discard."
        self.report({"discarded": count}, [line])
        self.suggest(f"See what is left: `manage.py lockstep dead-letters {options['subscription']}`")

    def _pause(self, options: Options) -> None:
        name = options["subscription"]
        with _rolled_back_if(options["plan"]):
            state = operations.pause(name, reason=options["reason"])
        when = " as soon as it is enabled" if state == "disabled" else ""
        line = f"Would pause {name}{when}." if options["plan"] else f"{name} is paused{when}."
        if not (when or options["plan"]):
            line += " Its changes wait."
        self.report({"state": state}, [line])
        if not options["plan"]:
            self.suggest(f"End the pause: `manage.py lockstep resume {name}`")

    def _resume(self, options: Options) -> None:
        name = options["subscription"]
        subscriptions = Subscription.objects.using(lockstep_settings.DATABASE)
        if subscriptions.filter(name=name, state=Subscription.State.ACTIVE).exists():
            self.report({"state": "active"}, [f"{name} is active already; nothing was changed."])
            return
        with _rolled_back_if(options["plan"]):
            state = operations.resume(name)
        line = f"{name} continues where it stopped."
        if options["plan"]:
            line = f"Would resume {name}."
        elif state == "disabled":
            line = f"{name} is not paused any more; it is disabled still."
        self.report({"state": state}, [line])
        if not options["plan"]:
            self.suggest(SEE_WAITING)

    def _rewind(self, options: Options) -> None:
        name = options["subscription"]
        with self.progress("reading the log"):
            preview = operations.preview_span(chosen_changes(options))
        if options["plan"]:
            self.report(preview, preview_lines("send again", preview))
            return
        with self.progress("rewinding"):
            is_rewound = operations.rewind(name, since=options["since"])
        self.report(preview, [rewound_line(name, preview) if is_rewound else "The log has nothing since then."])
        self.suggest(SEE_WAITING)

    def _remove(self, options: Options) -> None:
        name = options["subscription"]
        lost = [row for row in operations.status() if row.name == name]
        with _rolled_back_if(options["plan"]):
            operations.remove(name)
        what = f"{counted(lost[0].waiting, 'waiting change')} and {counted(lost[0].dead, 'dead letter')}"
        line = f"Would remove {name} with {what}." if options["plan"] else f"{name} is removed."
        self.report({"waiting": lost[0].waiting, "dead": lost[0].dead}, [line])

    def _audit(self, options: Options) -> None:
        findings = []
        with self.progress("comparing") as progress:
            for finding in audit(outside=not options["no_outside"]):
                findings.append(finding)
                progress.advance()
                if not options["json"]:
                    with progress.hidden():
                        self.report(finding, finding_lines(finding))
        if options["json"]:
            self.report(findings, [])
        self.suggest(*finding_steps(findings))
        if any(finding.differing for finding in findings):
            raise CommandError("There are differences.", returncode=DIFFERENT)
        if any(finding.not_compared for finding in findings):
            raise CommandError("Not everything could be compared.", returncode=NOT_COMPARED)

    def _check(self, options: Options) -> None:
        using = lockstep_settings.DATABASE
        if migrations_are_pending(using):
            raise CommandError("Migrations are pending: run `manage.py migrate`, then check again.")
        found = [each for each in run_checks(databases=[using]) if str(each.id).startswith("lockstep.")]
        rows = [
            {"id": each.id, "is_error": each.is_serious(), "message": each.msg, "hint": each.hint or ""}
            for each in found
        ]
        self.report(rows, [str(each) for each in found] or ["Everything is as it should be."])
        if any(each.is_serious() for each in found):
            raise CommandError("There are errors.")

    def _new_epoch(self, options: Options) -> None:
        with self.progress("reading the log" if options["plan"] else "rewriting the log"):
            chosen = preview_new_epoch() if options["plan"] else begin_new_epoch()
        lines = [f"{name}: changes to send: {count:,}" for name, count in chosen.items()]
        if not options["plan"]:
            lines.append("A new epoch has begun. Start the workers.")
        self.report(dict(chosen), lines)

    def _resync(self, options: Options) -> None:
        with self.progress(f"comparing {options['model']} with the log"):
            found = resync(captured(options["model"]).model, plan=options["plan"])
        verb = "Would write" if options["plan"] else "Written"
        counts = f"{found.created:,} created, {found.updated:,} updated, {found.deleted:,} deleted"
        self.report(found, [f"{verb}: {counts}."])
        if not options["plan"]:
            self.suggest("Prove it: `manage.py lockstep audit --no-outside`")

    def _uninstall(self, options: Options) -> None:
        with self.progress("looking" if options["plan"] else "dropping"):
            dropped = list(plan_uninstall() if options["plan"] else uninstall())
        verb = "Would drop" if options["plan"] else "Dropped"
        remaining = [] if options["plan"] else remaining_steps()
        lines = [f"{verb} {what}." for what in dropped] or ["The database has nothing of Lockstep."]
        self.report({"dropped": dropped, "remaining": remaining}, [*lines, *remaining])


@contextmanager
def _rolled_back_if(plan: bool) -> Iterator[None]:
    """A transaction that a plan rolls back, so that it refuses exactly what would fail."""
    with transaction.atomic(lockstep_settings.DATABASE):
        yield
        if plan:
            transaction.set_rollback(True, using=lockstep_settings.DATABASE)
