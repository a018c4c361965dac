"""How passwords are kept."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2(Argon2PasswordHasher):
    """argon2id as OWASP's cheat sheet has it at least: 19 MiB, two passes, one lane.

    Django's own choice takes 100 MiB for each sign-in under way, which a web worker does not have.
    """

    memory_cost = 19_456
    time_cost = 2
    parallelism = 1
