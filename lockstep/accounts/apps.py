from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "lockstep.accounts"

    def ready(self) -> None:
        from lockstep.accounts import checks  # noqa: F401 - registers them
