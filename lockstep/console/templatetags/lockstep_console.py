"""Tags and filters of the console's pages: times, numbers, links to what is named, charts.

All texts are escaped by the templates in templates/lockstep/console/tags/.
"""

from collections.abc import Sequence
from datetime import datetime

from django import template
from django.utils import timezone

from lockstep.changes.commands import counted as counted_words
from lockstep.console import charts, words
from lockstep.console.links import address

register = template.Library()

register.filter(words.plain)
register.filter(words.duration)
register.filter(words.number)
register.filter(words.size)


@register.filter
def counted(count: int, noun: str) -> str:
    """ "1 change", "3 changes"."""
    return counted_words(count, noun)


@register.filter
def measured(value: float, unit: str) -> str:
    """A value of a chart with its unit; seconds as a duration, from two minutes on."""
    is_long = unit == " s" and value >= 2 * words.MINUTE
    return words.duration(value) if is_long else f"{words.number(value)}{unit}"


@register.inclusion_tag("lockstep/console/tags/time.html")
def when(moment: datetime | None) -> dict[str, object]:
    """A time with its zone."""
    return _time(moment, is_relative=False)


@register.inclusion_tag("lockstep/console/tags/time.html")
def ago(moment: datetime | None) -> dict[str, object]:
    """A time as its distance from now: "14 min ago", "in 5 s"."""
    return _time(moment, is_relative=True)


def _time(moment: datetime | None, *, is_relative: bool) -> dict[str, object]:
    if moment is None:
        return {"moment": None}
    local, seconds = timezone.localtime(moment), (timezone.now() - moment).total_seconds()
    exact = f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"
    distance = f"in {words.duration(-seconds)}" if seconds < 0 else f"{words.duration(seconds)} ago"
    return {"moment": local, "exact": exact, "words": distance if is_relative else exact}


@register.inclusion_tag("lockstep/console/tags/link.html")
def subscription_link(name: str) -> dict[str, str]:
    """A subscription's name, linked to its page."""
    return {"words": words.plain(name), "address": address("subscription", name)}


@register.inclusion_tag("lockstep/console/tags/link.html")
def object_link(model: str, object_id: str) -> dict[str, str]:
    """An object's model and key, linked to its life."""
    return {"words": words.plain(f"{model} {object_id}"), "address": address("object", model, object_id)}


@register.inclusion_tag("lockstep/console/tags/line_chart.html")
def line_chart(points: Sequence[charts.Point], label: str, unit: str = "") -> dict[str, object]:
    """A line over time from (moment, number or None)."""
    return {"chart": charts.line_chart(points, label=label, unit=unit)}


@register.inclusion_tag("lockstep/console/tags/bar_chart.html")
def bar_chart(values: Sequence[tuple[str, float]], label: str, unit: str = "") -> dict[str, object]:
    """Bars from (name, number)."""
    return {
        "chart": charts.bar_chart(values, label=label, unit=unit),
        "width": charts.WIDTH,
        "height": charts.BAR_HEIGHT,
    }
