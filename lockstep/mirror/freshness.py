"""How fresh what we know of a mirrored provider is, as the console shows it."""

from collections.abc import Callable

from lockstep.changes.commands import counted
from lockstep.conf import lockstep_settings
from lockstep.delivery.providers import Freshness
from lockstep.mirror.models import DriftCheck, MirrorState


def freshness_of(provider: str) -> Callable[[], Freshness]:
    """The reader of a mirror's freshness, for `Provider`."""

    def read() -> Freshness:
        database = lockstep_settings.DATABASE
        check = DriftCheck.objects.using(database).filter(provider=provider).order_by("-pk").first()
        state = MirrorState.objects.using(database).filter(provider=provider).first()
        stopped = f" Mending it has stopped: {state.reason}." if state and state.stopped_at else ""
        if check is None:
            return Freshness(f"It was never compared with our data.{stopped}", None, is_well=not stopped)
        drift = sum(check.counts.values())
        found = f"{counted(drift, 'object')} differed" if drift else "nothing differed, but by our own writes"
        sentence = f"At the last drift check {found}.{stopped}"
        return Freshness(sentence, check.at, is_well=not drift and not stopped)

    return read
