"""Reading variables: from the process, or from the file that a variable with _FILE behind its name points at."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from environs import FileAwareEnv, validate

from lockstep import telemetry

Item = TypeVar("Item")

http_url = validate.URL(schemes={"http", "https"}, require_tld=False)


def http_url_or_none(value: str) -> None:
    """Validates the URL of an optional remote system: the variable may be empty as well as unset."""
    if value:
        http_url(value)


class Env(FileAwareEnv):
    """environs with support for secrets in files, as in Docker, Kubernetes and systemd."""

    def __init__(self) -> None:
        super().__init__(strip_whitespace=True)

    def _get_value(self, env_key: str, default: Any) -> Any:  # noqa: ANN401 - environs' signature
        """Raises ImproperlyConfigured for a variable that is set twice, and for a file that cannot be read."""
        file_key = f"{env_key}{self.file_suffix}"
        if os.environ.get(env_key) and os.environ.get(file_key):
            raise ImproperlyConfigured(f"{env_key} and {file_key} are both set: set one of them.")
        try:
            return super()._get_value(env_key, default)
        except (ValueError, OSError) as error:
            raise ImproperlyConfigured(f"{file_key} must name a file that can be read, in UTF-8.") from error

    def items(
        self,
        name: str,
        default: Sequence[Item] = (),
        read: Callable[[str], Item] = str,  # type: ignore[assignment]  # a text is read as it is
    ) -> list[Item]:
        """The comma-separated items, without blank ones. `read` may raise ValueError."""
        text = self.str(name, None)
        if text is None:
            return list(default)
        return [read(part.strip()) for part in text.split(",") if part.strip()]


def has_traces(**variables: str) -> bool:
    """Whether there are traces, by OpenTelemetry's own variables. Raises ImproperlyConfigured.

    OpenTelemetry reads them from the process itself. Ours may be files, and blank ones are unset, as all others.
    """
    for name, value in variables.items():
        os.environ.pop(name, None)
        os.environ.update({name: value} if value else {})
    try:
        return telemetry.is_wanted()
    except telemetry.Unfit as error:
        raise ImproperlyConfigured(str(error)) from error
