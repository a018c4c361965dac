"""Encrypts the secrets of all endpoints under the current SECRET_KEY, so that the former one can be removed."""

import sys

from lockstep.changes import commands
from lockstep.changes.commands import counted
from lockstep.webhooks import actions

UNREADABLE = 2  # exit code


class Command(commands.Command):
    help = (
        "Encrypts the secrets of webhooks under the current SECRET_KEY, before the former leaves SECRET_KEY_FALLBACKS. "
        "Repeatable; exits with 2 if a secret cannot be decrypted under any of them."
    )

    def handle(self, **options: object) -> None:
        with self.progress("encrypting the secrets of endpoints"):
            encrypted, unreadable = actions.reseal_secrets()
        line = f"The secrets of {counted(encrypted, 'endpoint')} are encrypted under the current SECRET_KEY."
        self.report({"encrypted": encrypted, "unreadable": unreadable}, [line])
        for endpoint in unreadable:
            self.stderr.write(
                f"The secret of endpoint {endpoint} cannot be decrypted under any key: its owner must rotate it."
            )
        if unreadable:
            sys.exit(UNREADABLE)
