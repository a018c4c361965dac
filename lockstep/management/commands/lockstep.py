"""`manage.py lockstep`: the worker, and the operations on deliveries."""

from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
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
    as_json,
    finding_lines,
    letter_line,
    preview_lines,
    replayed_lines,
    status_table,
)
from lockstep.uninstall import ExtraNotInstalled, plan_uninstall, remaining_steps, uninstall

DIFFERENT, NOT_COMPARED = 2, 3  # exit codes of the audit


class Command(commands.Command):
    help = "Delivers changes (worker); shows waiting changes and dead letters; pauses, replays, discards, rewinds."

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

    def _worker(self, options: Options) -> None:
        from lockstep.delivery.process import run_worker

        def tell(text: str) -> None:
            self.stdout.write(text)
            self.stdout.flush()

        run_worker(tell=tell, warn=lambda text: self.stderr.write(self.style.ERROR(text)))

    def _status(self, options: Options) -> None:
        rows = operations.status()
        self._report(options, rows, [status_table(rows)])
        if options["json"]:
            return
        if (workers := worker_state()) != "ok":
            self.stderr.write(f"No worker delivers: {workers}")
        elif late := overdue():
            text = "A worker that has just started does it soon; otherwise its log has the reason."
            self.stderr.write(f"Periodic work, not done for too long: {', '.join(late)}. {text}")

    def _dead_letters(self, options: Options) -> None:
        rows = operations.dead_letters(chosen_changes(options), limit=options["limit"])
        self._report(options, rows, [letter_line(row) for row in rows] or ["No dead letters."])

    def _replay(self, options: Options) -> None:
        change_filter = chosen_letters(options)
        if options["plan"]:
            preview = operations.preview_letters(change_filter)
            self._report(options, preview, preview_lines("replay", preview, letters=True))
            return
        done = operations.replay_letters(change_filter)
        self._report(options, done, replayed_lines(done, letters=True))

    def _replay_changes(self, options: Options) -> None:
        change_filter = chosen_changes(options)
        if options["plan"]:
            preview = operations.preview_span(change_filter)
            self._report(options, preview, preview_lines("replay", preview))
            return
        done = operations.replay_span(change_filter)
        self._report(options, done, replayed_lines(done))

    def _discard(self, options: Options) -> None:
        change_filter = chosen_letters(options)
        if options["plan"]:
            preview = operations.preview_discard(change_filter)
            self._report(options, preview, preview_lines("discard", preview))
            return
        count = operations.discard_letters(change_filter, reason=options["reason"])
        line = f"Discarded {counted(count, 'dead letter')}." if count else "Nothing to discard."
        self._report(options, {"discarded": count}, [line])

    def _pause(self, options: Options) -> None:
        name = options["subscription"]
        with _rolled_back_if(options["plan"]):
            state = operations.pause(name, reason=options["reason"])
        when = " as soon as it is enabled" if state == "disabled" else ""
        line = f"Would pause {name}{when}." if options["plan"] else f"{name} is paused{when}."
        if not (when or options["plan"]):
            line += f" Its changes wait; `manage.py lockstep resume {name}` sends them."
        self._report(options, {"state": state}, [line])

    def _resume(self, options: Options) -> None:
        name = options["subscription"]
        subscriptions = Subscription.objects.using(lockstep_settings.DATABASE)
        if subscriptions.filter(name=name, state=Subscription.State.ACTIVE).exists():
            line = f"{name} is active already; nothing was changed."
            self._report(options, {"state": "active"}, [line])
            return
        with _rolled_back_if(options["plan"]):
            state = operations.resume(name)
        line = f"{name} continues where it stopped."
        if options["plan"]:
            line = f"Would resume {name}."
        elif state == "disabled":
            line = f"{name} is not paused any more; it is disabled still."
        self._report(options, {"state": state}, [line])

    def _rewind(self, options: Options) -> None:
        name, preview = options["subscription"], operations.preview_span(chosen_changes(options))
        if options["plan"]:
            lines = preview_lines("send again", preview)
        elif not operations.rewind(name, since=options["since"]):
            lines = ["The log has nothing since then."]
        elif preview.first is None:
            lines = [f"{name} starts again there; the log has nothing for it since then."]
        else:
            what = f"{counted(preview.changes, 'change')} of {counted(preview.objects, 'object')}"
            lines = [f"{name} starts again at {preview.first:%Y-%m-%d %H:%M:%S} UTC: {what} go out again."]
        self._report(options, preview, lines)

    def _remove(self, options: Options) -> None:
        name = options["subscription"]
        lost = [row for row in operations.status() if row.name == name]
        with _rolled_back_if(options["plan"]):
            operations.remove(name)
        what = f"{counted(lost[0].waiting, 'waiting change')} and {counted(lost[0].dead, 'dead letter')}"
        line = f"Would remove {name} with {what}." if options["plan"] else f"{name} is removed."
        self._report(options, {"waiting": lost[0].waiting, "dead": lost[0].dead}, [line])

    def _audit(self, options: Options) -> None:
        findings = []
        for finding in audit(outside=not options["no_outside"]):
            findings.append(finding)
            if not options["json"]:
                self._write(finding_lines(finding))
        if options["json"]:
            self._report(options, findings, [])
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
        self._report(options, rows, [str(each) for each in found] or ["Everything is as it should be."])
        if any(each.is_serious() for each in found):
            raise CommandError("There are errors.")

    def _new_epoch(self, options: Options) -> None:
        chosen = preview_new_epoch() if options["plan"] else begin_new_epoch()
        lines = [f"{name}: changes to send: {count:,}" for name, count in chosen.items()]
        if not options["plan"]:
            lines.append("A new epoch has begun. Start the workers.")
        self._report(options, dict(chosen), lines)

    def _resync(self, options: Options) -> None:
        found = resync(captured(options["model"]).model, plan=options["plan"])
        verb = "Would write" if options["plan"] else "Written"
        counts = f"{found.created:,} created, {found.updated:,} updated, {found.deleted:,} deleted"
        self._report(options, found, [f"{verb}: {counts}."])

    def _uninstall(self, options: Options) -> None:
        dropped = list(plan_uninstall() if options["plan"] else uninstall())
        verb = "Would drop" if options["plan"] else "Dropped"
        lines = [f"{verb} {what}." for what in dropped] or ["The database has nothing of Lockstep."]
        if not options["plan"]:
            lines.extend(remaining_steps())
        self._report(options, {"dropped": dropped}, lines)

    def _report(self, options: Options, result: object, lines: Sequence[str]) -> None:
        """Writes the result as JSON with --json, else these lines."""
        self._write([as_json(result)] if options["json"] else lines)

    def _write(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.stdout.write(line)


@contextmanager
def _rolled_back_if(plan: bool) -> Iterator[None]:
    """A transaction that a plan rolls back, so that it refuses exactly what would fail."""
    with transaction.atomic(lockstep_settings.DATABASE):
        yield
        if plan:
            transaction.set_rollback(True, using=lockstep_settings.DATABASE)
