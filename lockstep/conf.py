"""The engine's settings: `LOCKSTEP = {"RETENTION_DAYS": 30}` in the project's settings. Every key is optional."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeGuard

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import mail
from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

Network = IPv4Network | IPv6Network
# A feature of database connections: the engine's tables exist only where the change log is (changes/schema_editor.py).
HAS_CHANGE_LOG = "has_lockstep_change_log"
MAY_BE_ZERO = ("WEBHOOKS_PER_USER", "WEBHOOK_OVERLAP_HOURS", "FEED_STREAMS")


class LockstepSettings:
    """Each key with its default. An attribute is the project's value where it has one."""

    # The alias of the database with the change log. Models that a router puts elsewhere cannot be captured.
    DATABASE: str = "default"
    # How many days the change log is kept. A week is dropped once it is older and no subscription needs it.
    RETENTION_DAYS: int = 30
    # How many days recorded attempts are kept.
    ATTEMPT_RETENTION_DAYS: int = 7
    # Labels of apps whose models must all be captured or have a reason: `uncaptured = "<reason>"`.
    CAPTURED_APPS: Sequence[str] = ()
    # The role of web server and workers where it does not own the tables; `migrate` grants it its rights.
    APPLICATION_ROLE: str = ""
    # Whether `migrate` also protects triggers of django-pgtrigger.
    SECURE_PGTRIGGERS: bool = False
    # The address at which a worker serves /healthz, /readyz and /metrics; port 0: none.
    WORKER_METRICS_HOST: str = "127.0.0.1"
    WORKER_METRICS_PORT: int = 0

    # --- lockstep.webhooks ---
    # Networks that webhooks may reach although they are not public, such as "10.0.0.0/8".
    WEBHOOK_ALLOW_NETWORKS: Sequence[str] = ()
    # How many endpoints a user may have.
    WEBHOOKS_PER_USER: int = 20
    # After how many days of failures an endpoint is switched off.
    WEBHOOK_PATIENCE_DAYS: int = 5
    # How many hours a replaced secret goes on signing.
    WEBHOOK_OVERLAP_HOURS: int = 24
    # How many seconds a receiver has to answer, how many messages an endpoint gets at once, and how many changes may
    # wait for it before no more are fanned out.
    WEBHOOK_DEADLINE: float = 15.0
    WEBHOOK_CONCURRENCY: int = 8
    WEBHOOK_CAP: int = 100_000

    # --- lockstep.feed ---
    # Live streams of one web process: each holds a thread and a connection.
    FEED_STREAMS: int = 16

    # --- lockstep.console ---
    # The overview calls a subscription late when its oldest change waits longer than so many seconds.
    CONSOLE_LATE_SECONDS: float = 60.0

    # --- lockstep.rest ---
    # Whether views save time where that changes no response; False is for measurements and for debugging.
    REST_FASTPATH: bool = True
    # Requests a minute of one user, or one address, to one web process.
    REST_RATE_LIMIT: int = 6_000
    # Limits of a body, and of the JSON in it.
    REST_MAX_BODY_BYTES: int = 1_048_576
    REST_MAX_JSON_DEPTH: int = 32
    REST_MAX_JSON_VALUES: int = 10_000
    # Proxies, as networks, whose X-Forwarded-For and X-Forwarded-Proto are trusted.
    REST_TRUSTED_PROXIES: Sequence[str] = ()
    # A statement of a request that takes longer is given up (503); only where `configure_connections` was called.
    REST_STATEMENT_SECONDS: float = 15.0
    # How long a probe waits for its parts.
    REST_PROBE_SECONDS: float = 1.0
    # The bearer token for /metrics; without one, /metrics exists with DEBUG only.
    REST_METRICS_TOKEN: str = ""
    # Whether a request's span is the child of the one that its client names; else it links to that.
    REST_TRACEPARENT_TRUSTED: bool = True
    # In the OpenAPI document: the tag of a module's views, and deprecated prefixes of paths with their replacements.
    REST_SCHEMA_TAGS: Mapping[str, str] = {}
    REST_SCHEMA_DEPRECATED: Mapping[str, str] = {}

    # --- lockstep.rest.server, which bounds what clients send to a web server ---
    # Requests that a web process works on at once, those that wait, and how many seconds they may.
    SERVER_REQUESTS: int = 4
    SERVER_MAX_WAITING: int = 500
    SERVER_WAITING_SECONDS: float = 10.0
    # How long a stopping web process goes on serving, with 503 on /readyz.
    SERVER_DRAIN_SECONDS: float = 0.0
    # A body has so many seconds, plus one for every so many bytes received; and all bodies together so many bytes.
    SERVER_BODY_SECONDS: float = 10.0
    SERVER_BODY_BYTES_PER_SECOND: int = 16_384
    SERVER_BODIES_BYTES: int = 67_108_864
    # A stream ends if its client reads nothing for so long.
    SERVER_STREAM_STALL_SECONDS: float = 30.0
    # Requests that wait for a remote system, in total and of one user.
    SERVER_REMOTE_WAITS: int = 16
    SERVER_REMOTE_WAITS_PER_USER: int = 2

    def __getattribute__(self, name: str) -> object:
        own = project_settings()
        return own[name] if name in own else super().__getattribute__(name)


@cache  # a request reads ten settings, and Django looks each up anew
def project_settings() -> Mapping[str, object]:
    """The project's LOCKSTEP setting; `check` reports unknown keys, and what is no dict, which counts as empty."""
    own = getattr(settings, "LOCKSTEP", {})
    return own if isinstance(own, Mapping) else {}


def _read_again(*, setting: str, **_: object) -> None:
    if setting == "LOCKSTEP":
        project_settings.cache_clear()


setting_changed.connect(_read_again)  # tests change settings


def known_settings() -> set[str]:
    """The names of all settings."""
    return {name for name in LockstepSettings.__annotations__ if name.isupper()}


def default_of_setting(name: str) -> object:
    """The value that this setting has in a project that does not set it."""
    return vars(LockstepSettings)[name]


def fault_of_setting(name: str, value: object) -> str:
    """What a value of this setting must be; "" for a valid one."""
    default = default_of_setting(name)
    if name in FAULTS_BY_NAME:
        return FAULTS_BY_NAME[name](value)
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "must be True or False"
    if isinstance(default, (int, float)):
        kind = int if isinstance(default, int) else (int, float)
        is_number = isinstance(value, kind) and not isinstance(value, bool)
        least = 0 if name in MAY_BE_ZERO or isinstance(default, float) else 1
        if is_number and isinstance(value, (int, float)) and value >= least:
            return ""
        return f"must be a {'whole ' if isinstance(default, int) else ''}number of at least {least}"
    if isinstance(default, str):
        return "" if isinstance(value, str) else "must be a text"
    if isinstance(default, Mapping):
        return "" if isinstance(value, Mapping) else "must be a dict"
    return "" if _is_list(value) else "must be a list"


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _fault_of_alias(value: object) -> str:
    is_alias = isinstance(value, str) and value in connections.settings
    return "" if is_alias else f"must be one of DATABASES: {', '.join(connections.settings)}"


def _fault_of_labels(value: object) -> str:
    if not _is_list(value):
        return "must be a list"
    unknown = [label for label in value if label not in apps.app_configs]
    return f"must be labels of installed apps, and {unknown[0]!r} is none" if unknown else ""


def _fault_of_port(value: object) -> str:
    return "" if isinstance(value, int) and 0 <= value < 2**16 else "must be a port from 1 to 65535, or 0 for none"


def _fault_of_networks(value: object) -> str:
    if not _is_list(value):
        return "must be a list"
    try:
        networks(list(map(str, value)))
    except ValueError:
        return 'must be a list of networks such as "10.0.0.0/8"'
    return ""


def _fault_of_deadline(value: object) -> str:
    is_valid = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
    return "" if is_valid else "must be a number above 0"


FAULTS_BY_NAME: Mapping[str, Callable[[object], str]] = {
    "DATABASE": _fault_of_alias,
    "CAPTURED_APPS": _fault_of_labels,
    "WORKER_METRICS_PORT": _fault_of_port,
    "WEBHOOK_DEADLINE": _fault_of_deadline,
    "WEBHOOK_ALLOW_NETWORKS": _fault_of_networks,
    "REST_TRUSTED_PROXIES": _fault_of_networks,
}

lockstep_settings = LockstepSettings()


def networks(addresses: Sequence[str]) -> tuple[Network, ...]:
    """The networks of a setting. Raises ValueError for a text that is none; `check` reports it."""
    return _networks(tuple(map(str, addresses)))


@lru_cache(16)
def _networks(addresses: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(address) for address in addresses)


def log_connection() -> BaseDatabaseWrapper:
    """This thread's connection to the database with the change log."""
    return connections[lockstep_settings.DATABASE]


def has_log_database() -> bool:
    """Whether DATABASE names a database of PostgreSQL, which can have a change log. `check` reports an unknown name."""
    return not _fault_of_alias(lockstep_settings.DATABASE) and log_connection().vendor == "postgresql"


def is_testing() -> bool:
    """Whether Django's test environment is set up: its databases are dropped, so connections must be closed."""
    return hasattr(mail, "outbox")


def engine_apps() -> list[AppConfig]:
    """The installed apps of the engine."""
    return [app for app in apps.get_app_configs() if app.name.partition(".")[0] == "lockstep"]
