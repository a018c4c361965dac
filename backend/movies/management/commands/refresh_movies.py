from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict

from django.conf import settings
from django.core.management.base import CommandError

from backend.movies import catalogue
from backend.movies.catalogue import RefreshInProgress, RefreshResult
from lockstep.changes import commands
from lockstep.changes.commands import counted
from lockstep.http.errors import ProviderError


class Command(commands.Command):
    traced = True
    help = "Refreshes the movies from their provider. A refresh that fails, is empty or incomplete deletes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--prune", action="store_true", help="then delete the movies that the complete catalogue lacks"
        )

    def handle(self, *, prune: bool = False, **options: object) -> None:
        try:
            with self.progress("reading the provider"):
                done = catalogue.refresh(now=True)
        except RefreshInProgress:
            raise CommandError("Another process is refreshing the movies. Try again in a few seconds.") from None
        except ProviderError as error:
            raise CommandError(
                f"The provider at {settings.MOVIES_PROVIDER_URL} returned nothing usable: {error} Nothing was deleted."
            ) from error
        deleted = catalogue.prune() if prune and done.whole else 0
        self.report({**asdict(done), "deleted": deleted}, _lines(done, deleted, prune=prune))
        if prune and not done.whole:
            raise CommandError("Nothing was deleted: that requires a complete catalogue. Try again.")


def _lines(done: RefreshResult, deleted: int, *, prune: bool) -> Iterator[str]:
    part = "the complete catalogue"
    if not done.whole:
        part = f"not all of the {done.total:,} that the provider has, so none counts as missing"
    yield f"{counted(done.movies, 'movie')} received: {part}."
    if prune and done.whole:
        yield f"Deleted {counted(deleted, 'movie')}."
    elif done.missing and not prune:
        yield f"Not in the catalogue: {counted(done.missing, 'movie')} of ours; --prune deletes them."
