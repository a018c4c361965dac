from django.conf import settings

from backend.accounts.development import PASSWORD, USERNAME, ensure_account, refuse_outside_development
from backend.accounts.sessions import open_opaque
from lockstep.changes import commands


class Command(commands.Command):
    traced = True
    help = "Creates the account user / 1234 and prints a bearer token for it. Development only."

    def handle(self, **options: object) -> None:
        refuse_outside_development()
        token = open_opaque(ensure_account(USERNAME, PASSWORD))
        header = f"Authorization: Bearer {token}"
        result = {"username": USERNAME, "password": PASSWORD, "token": token}
        self.report(result, [f"{USERNAME} / {PASSWORD}", header])
        self.suggest(f"Try it: curl -s http://127.0.0.1:{settings.PORT}/api/v1/users/me/ -H '{header}'")
