"""System checks: what subscribers follow. Without them nothing would be delivered, and nothing reported."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Tags, register

from lockstep.changes.capture import capture_of, captures
from lockstep.changes.readers import known_patterns, matching_patterns
from lockstep.delivery.subscriptions import Subscriber, registered


@register(Tags.models)
def subscribers_follow_captured_models(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Each pattern of a subscriber matches the changes of a captured model."""
    return [fault for subscriber in registered() for fault in _unmatched(subscriber)]


@register(Tags.models)
def only_changed_names_captured_columns(
    app_configs: Sequence[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    """Each column of `only_changed` is captured for a model that the subscriber follows."""
    return [fault for subscriber in registered() for fault in _unknown_columns(subscriber)]


def _unknown_columns(subscriber: Subscriber) -> Iterator[CheckMessage]:
    followed = [
        capture
        for capture in captures()
        if matching_patterns(f"{capture.label}.updated").intersection(subscriber.patterns)
    ]
    columns = sorted({column for capture in followed for column in capture.columns})
    for name in subscriber.only_changed:
        if followed and name not in columns:  # the other check reports a subscriber that follows none
            sentence = f"The subscriber {subscriber.name!r} has only_changed={name!r}: no captured column."
            similar = get_close_matches(name, columns, n=1)
            hint = f"Did you mean {similar[0]!r}?" if similar else f"Captured are: {', '.join(columns)}."
            yield Error(sentence, hint=hint, id="lockstep.E031")


def _unmatched(subscriber: Subscriber) -> Iterator[CheckMessage]:
    known = known_patterns(is_staff=True) | {"*"}
    for pattern in subscriber.patterns:
        if pattern not in known:
            sentence = f"The subscriber {subscriber.name!r} follows {_as_declared(pattern)!r}: no captured model."
            yield Error(sentence, hint=_hint(pattern, known), id="lockstep.E030")


def _as_declared(pattern: str) -> str:
    """ "blog.article" for "blog.article.*"."""
    return pattern.removesuffix(".*") if pattern.count(".") == 2 else pattern


def _hint(pattern: str, known: set[str]) -> str:
    label = ".".join(pattern.split(".")[:2])
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        similar = get_close_matches(_as_declared(pattern), sorted(map(_as_declared, known)), n=1)
        return f"Did you mean {similar[0]!r}?" if similar else f"Captured are: {', '.join(_labels(known))}."
    if capture := capture_of(model):
        return f"Did you mean {capture.label!r}? A proxy has no table, and no changes of its own."
    return f'Put @capture("column", …) before the class, or capture.register({model._meta.label!r}, "column", …).'


def _labels(known: set[str]) -> list[str]:
    return sorted({_as_declared(pattern) for pattern in known if pattern.endswith(".*") and pattern.count(".") == 2})
