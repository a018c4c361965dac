"""The parameters of addresses, which anyone can write."""

from django.http import Http404, HttpRequest

from lockstep.console.words import is_storable

MAX_DIGITS = 18
MAX_TEXT = 500  # characters


def number_parameter(request: HttpRequest, name: str) -> int | None:
    """A number of the query string; None where there is none. Raises Http404 for one that no change can have."""
    if name not in request.GET:
        return None
    text = request.GET[name]
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise Http404("There is no such page.")
    return int(text)


def text_parameter(request: HttpRequest, name: str) -> str | None:
    """A text of the query string; None where there is none. Raises Http404 for one that cannot be in the log."""
    text = request.GET.get(name, "").strip()
    if len(text) > MAX_TEXT or not is_storable(text):
        raise Http404("A parameter is not valid.")
    return text or None


def text_or_404(text: str) -> str:
    """The text of a route. Raises Http404 for one that cannot be in the log."""
    if not is_storable(text):
        raise Http404
    return text
