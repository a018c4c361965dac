import asyncio
from argparse import ArgumentParser

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

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
            self.report({"completed": True, "collections": []}, [])
            self.suggest("Imported before, and nothing was done. Without --if-never it imports what is new.")
            return
        record = Import.objects.create(provider=JSONPLACEHOLDER.provider)
        reports = asyncio.run(self._import())
        record.report = {report.collection: vars(report) for report in reports}
        problem = _problem(reports)
        if not any(report.error for report in reports) and any(report.seen for report in reports):
            record.completed = timezone.now()
        record.save()
        result = {"completed": record.completed is not None, "collections": [_document(report) for report in reports]}
        self.report(result, map(_summary, reports))
        if problem:
            raise CommandError(problem)
        self.suggest("Compare both sides: `manage.py sync_with_fake_system --plan`")

    async def _import(self) -> list[Report]:
        with self.progress("importing") as progress:

            def show(report: Report) -> None:
                progress.show(f"importing {report.collection}", report.seen)

            async with JSONPLACEHOLDER.open_client() as client, open_pool(size=2) as pool:
                return await import_all(JSONPLACEHOLDER, client, pool, show)


def _document(report: Report) -> dict[str, object]:
    """A report as values of JSON, by the names of the printed line."""
    return {
        "collection": report.collection,
        "imported": report.taken,
        "known_before": report.known,
        "unusable": report.refused,
        "examples": report.examples,
        "error": report.error,
    }


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
