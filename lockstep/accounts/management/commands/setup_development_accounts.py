from typing import Any

from django.core.management.base import BaseCommand

from lockstep.accounts import development


class Command(BaseCommand):
    help = "Creates the two accounts of development: user / 1234 and the admin admin / 12345."

    def handle(self, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        development.refuse_outside_development()
        development.ensure_account(development.USERNAME, development.PASSWORD)
        development.ensure_account(development.ADMIN_USERNAME, development.ADMIN_PASSWORD, staff=True)
