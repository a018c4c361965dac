"""Which variables are set: in the process, then in the project's `.env`. A blank one counts as unset."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.launcher.errors import BadSetting

ROOT = Path(__file__).resolve().parents[2]
# What a `manage.py` in another terminal must find again. LOCKSTEP_HOME is where it looks: not among them.
SHARED = (
    "PORT",
    "HOST",
    "DATABASE_URL",
    "POSTS_PROVIDER_URL",
    "MOVIES_PROVIDER_URL",
    "COUNTER_URL",
    "COUNTER_SECRET",
    "PAYMENTS_URL",
    "ORDER_CONFIRM_SECONDS",
    "WEBHOOK_ALLOW_NETWORKS",
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "DEBUG",
)


@dataclass(frozen=True)
class Environment:
    """Where to run, and the variables of SHARED that are set."""

    home: Path
    host: str
    port: int
    variables: Mapping[str, str]

    @property
    def reachable_host(self) -> str:
        """Where this machine reaches the web server, as it stands in an address."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"[{host}]" if ":" in host else host

    @property
    def address(self) -> str:
        return f"http://{self.reachable_host}:{self.port}"


def read(process: Mapping[str, str] = os.environ, root: Path = ROOT) -> Environment:
    """Raises BadSetting for a PORT that is none."""
    values = {**_dotenv(root / ".env"), **_stripped(process)}
    return Environment(
        # Relative to the project, not to the shell's folder: settings.py reads it in the same way.
        home=root / values.get("LOCKSTEP_HOME", ".lockstep"),
        host=values.get("HOST", "127.0.0.1"),
        port=_port(values.get("PORT", "8000")),
        variables={name: values[name] for name in SHARED if name in values},
    )


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return _stripped(dotenv_values(path))


def _stripped(variables: Mapping[str, str | None]) -> dict[str, str]:
    """The variables that are not blank, without surrounding whitespace, as settings.py reads them."""
    return {name: value.strip() for name, value in variables.items() if value and value.strip()}


def _port(value: str) -> int:
    try:
        port = int(value)
    except ValueError:
        port = 0
    if not 1 <= port <= 65535:
        raise BadSetting(name="PORT", value=value, reason="a port is a number from 1 to 65535, for example 8000.")
    return port
