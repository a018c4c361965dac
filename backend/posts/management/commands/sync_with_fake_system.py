import asyncio
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from psycopg import AsyncConnection

from backend.posts.mirror import JSONPLACEHOLDER, was_imported
from lockstep.changes import commands
from lockstep.changes.commands import counted
from lockstep.delivery.database import open_pool
from lockstep.delivery.models import Subscription
from lockstep.delivery.relay import declare
from lockstep.http.errors import ProviderError
from lockstep.mirror.apply import Applier
from lockstep.mirror.ceiling import Ceiling
from lockstep.mirror.collections import Client
from lockstep.mirror.plan import Plan
from lockstep.mirror.report import describe_plan, describe_result, plan_document, result_document
from lockstep.mirror.state import State
from lockstep.mirror.subscriber import mirror_subscriber

DRIFT = 2  # exit code of --plan
ROUNDS = 3  # a push may change other objects there (see mirror/reconcile.py): apply until a plan is empty


class Command(commands.Command):
    traced = True
    help = (
        "Makes the provider equal to the local data. --plan only shows the differences, field by field, and exits with "
        "2 if there are any, else with 0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--plan", action="store_true", help="show what would be done, change nothing")
        parser.add_argument("--full", action="store_true", help="show every difference, not only the first ones")
        parser.add_argument(
            "--max-delete", type=commands.whole_number(0), default=100, metavar="N",
            help="refuse when more than N objects would be deleted at the provider (default 100)",
        )  # fmt: skip

    def handle(self, *, plan: bool, full: bool, max_delete: int, **options: object) -> None:
        imported = was_imported()
        try:
            code = asyncio.run(self._sync(apply=not plan, full=full, max_delete=max_delete if imported else 0))
        except ProviderError as error:
            raise CommandError(
                f"The provider at {settings.POSTS_PROVIDER_URL} could not be read, and nothing was changed: {error}"
            ) from error
        except TooManyDeletions as error:
            never = "" if imported else " Nothing was ever imported: run manage.py import_data_from_api first?"
            raise CommandError(f"{error}{never}") from error
        self._warn_if_paused()
        if not imported:
            self.suggest("Nothing was ever imported. Import first: `manage.py import_data_from_api`")
        elif code == DRIFT:
            self.suggest("Make the provider equal: `manage.py sync_with_fake_system`")
        sys.exit(code)

    async def _sync(self, *, apply: bool, full: bool, max_delete: int) -> int:
        """Plans, and applies the plan if `apply`. Returns the exit code."""
        async with (
            JSONPLACEHOLDER.open_client() as client,
            open_pool(size=JSONPLACEHOLDER.concurrency + 2) as pool,
            pool.connection() as connection,
        ):
            plan = await self._plan(client, connection, adopt=apply)
            state = State(JSONPLACEHOLDER, connection)
            if not apply:
                await self._show(plan, full=full, stopped=await state.stopped())
                return DRIFT if plan.drift else 0
            if Ceiling(delete=max_delete).exceeded_by(plan.counts):
                raise TooManyDeletions(plan.counts["delete"], max_delete)
            subscriber = mirror_subscriber(JSONPLACEHOLDER)
            await declare(connection, subscriber)
            applier = Applier(JSONPLACEHOLDER, client, pool, subscriber)
            for _ in range(ROUNDS):
                await plan.verify()
                if not plan.todo or applier.result.failed:
                    break
                with self.progress("pushing", plan.todo) as progress:
                    await applier.run(plan, progress.advance)
                plan = await self._plan(client, connection, adopt=True)
            await state.resume()
            if self.is_json:
                self.report(result_document(plan, applier.result), [])
            else:
                describe_result(self.stdout.write, plan, applier.result, style=self.style)
            return 1 if applier.result.failed or plan.todo else 0

    async def _plan(self, client: Client, connection: AsyncConnection[Any], *, adopt: bool) -> Plan:
        plan = Plan(JSONPLACEHOLDER, connection)
        with self.progress("reading the provider") as progress:
            await plan.make(client, lambda name, listed: progress.show(f"reading {name}", listed), adopt=adopt)
        return plan

    async def _show(self, plan: Plan, *, full: bool, stopped: str) -> None:
        if self.is_json:
            self.report(await plan_document(plan, full=full, stopped=stopped), [])
        else:
            await describe_plan(self.stdout.write, plan, full=full, stopped=stopped, style=self.style)

    def _warn_if_paused(self) -> None:
        """Warns about a paused subscription, with which the difference grows with each write."""
        name = mirror_subscriber(JSONPLACEHOLDER).name
        found = Subscription.objects.filter(name=name).exclude(state=Subscription.State.ACTIVE).first()
        if found:
            reason = f" ({found.reason})" if found.reason else ""
            self.stderr.write(
                f"The mirror is {found.state}{reason}: changes are not pushed meanwhile. "
                f"`manage.py lockstep status` says more; `manage.py lockstep resume {name}` ends a pause."
            )


class TooManyDeletions(Exception):
    """The plan deletes more at the provider than --max-delete allows."""

    def __init__(self, planned: int, allowed: int) -> None:
        super().__init__(
            f"The plan deletes {counted(planned, 'object')} at the provider, more than --max-delete {allowed:,}. "
            f"Nothing was changed. Look with --plan; if that is right, run with --max-delete {planned}."
        )
