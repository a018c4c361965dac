import asyncio
from argparse import ArgumentParser
from typing import IO, cast

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from backend.posts.mirror import JSONPLACEHOLDER, was_imported
from lockstep.changes import commands
from lockstep.changes.commands import counted
from lockstep.delivery.database import open_pool
from lockstep.mirror.importing import Report, import_all
from lockstep.mirror.models import Import


class Command(commands.Command):
    traced = True
    help = (
        "Imports posts and comments from the provider. Safe to repeat: it resumes an interrupted import, and neither "
        "changes nor deletes existing rows."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--if-never", action="store_true", help="do nothing if an import was completed before")

    def handle(self, *, if_never: bool = False, **options: object) -> None:
        if if_never and was_imported():
            return
        record = Import.objects.create(provider=JSONPLACEHOLDER.provider)
        reports = asyncio.run(_import(Console(file=cast("IO[str]", self.stdout._out))))
        record.report = {report.collection: vars(report) for report in reports}
        problem = _problem(reports)
        if not any(report.error for report in reports) and any(report.seen for report in reports):
            record.completed = timezone.now()
        record.save()
        for report in reports:
            self.stdout.write(_summary(report))
        if problem:
            raise CommandError(problem)


async def _import(console: Console) -> list[Report]:
    columns = (TextColumn("{task.description:9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {
            collection.name: bars.add_task(collection.name, total=None) for collection in JSONPLACEHOLDER.collections
        }

        def progress(report: Report) -> None:
            bars.update(tasks[report.collection], completed=report.seen)

        async with JSONPLACEHOLDER.open_client() as client, open_pool(size=2) as pool:
            reports = await import_all(JSONPLACEHOLDER, client, pool, progress)
        for report in reports:
            bars.update(tasks[report.collection], completed=report.seen, total=report.seen)
    return reports


def _summary(report: Report) -> str:
    line = f"{report.collection}: {report.taken:,} imported, {report.known:,} known before, {report.refused:,} unusable"
    return "\n".join([line, *(f"  {example}" for example in report.examples)])


def _problem(reports: list[Report]) -> str:
    """The error and what to do next; "" after a success."""
    where = f"The provider at {settings.POSTS_PROVIDER_URL}"
    for report in reports:
        if report.error:
            return (
                f"{where} broke off in {report.collection} after {report.seen:,}: {report.error} "
                "Nothing was deleted, and imported objects stay. Run the command again to resume."
            )
    if not reports[0].seen:
        return f"{where} returned no {reports[0].collection}. Nothing was imported and nothing was deleted."
    if refused := sum(report.refused for report in reports):
        return f"{counted(refused, 'object')} could not be used; all others were imported. The reasons are above."
    return ""
