from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from lockstep.movies import catalogue
from lockstep.movies.catalogue import Fetching
from lockstep.providers.errors import ProviderError


class Command(BaseCommand):
    help = "Brings in the provider's movies now. A refresh that fails, is empty or lacks a part erases nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--prune", action="store_true", help="then delete those that the whole catalogue lacks")

    def handle(self, *, prune: bool = False, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        try:
            done = catalogue.refresh(now=True)
        except Fetching:
            raise CommandError("Somebody is fetching them at this moment. Try again in a few seconds.") from None
        except ProviderError as error:
            raise CommandError(
                f"The provider at {settings.MOVIES_PROVIDER_URL} gave nothing: {error} Nothing was erased."
            ) from error
        part = (
            "the whole catalogue" if done.whole else f"{done.total:,} are said to be there; nothing counts as missing"
        )
        self.stdout.write(f"{done.movies:,} movies came: {part}.")
        if prune and not done.whole:
            raise CommandError("Nothing was deleted: that takes a whole catalogue. Try again.")
        if prune:
            self.stdout.write(f"{catalogue.prune():,} movies were deleted.")
        elif done.missing:
            self.stdout.write(f"{done.missing:,} movies of ours are not in it; --prune deletes them.")
