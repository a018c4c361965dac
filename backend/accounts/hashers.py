"""The password hasher."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2(Argon2PasswordHasher):
    """argon2id with the minimum of OWASP's cheat sheet: 19 MiB, two passes, one lane.

    Django's default takes 100 MiB for each concurrent sign-in, which a web worker does not have.
    """

    memory_cost = 19_456
    time_cost = 2
    parallelism = 1
