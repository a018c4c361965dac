"""The switch of this package: the setting REST_FASTPATH."""

from functools import cache

from django.core.signals import setting_changed

from lockstep.conf import lockstep_settings


@cache  # it is read several times in each request
def is_on() -> bool:
    """Whether the fast path is on."""
    return bool(lockstep_settings.REST_FASTPATH)


def _read_again(*, setting: str, **_: object) -> None:
    if setting == "LOCKSTEP":
        is_on.cache_clear()


setting_changed.connect(_read_again)  # tests change settings
