from django.contrib.auth.models import AbstractUser


class Person(AbstractUser):
    """A user model of the project's own."""
