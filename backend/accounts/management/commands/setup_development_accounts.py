from backend.accounts import development
from lockstep.changes import commands


class Command(commands.Command):
    traced = True
    help = "Creates the accounts of development: user / 1234, the admin admin / 12345, the client lockstep-dev."

    def handle(self, *, verbosity: int, **options: object) -> None:
        development.refuse_outside_development()
        development.ensure_account(development.USERNAME, development.PASSWORD)
        development.ensure_account(development.ADMIN_USERNAME, development.ADMIN_PASSWORD, staff=True)
        development.ensure_client()
        accounts = [{"username": name, "password": word} for name, word in development.CREDENTIALS.items()]
        lines = [f"{name} / {word}" for name, word in development.CREDENTIALS.items()]
        lines.append(f"{development.CLIENT_ID}, a public client of OAuth 2")
        self.report({"accounts": accounts, "client_id": development.CLIENT_ID}, lines if verbosity else [])
