"""Content negotiation."""

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from lockstep.rest.fastpath import switch

ANYTHING = "*/*"


class Negotiation(DefaultContentNegotiation):
    """REST framework's negotiation, with a shortcut for the usual Accept and Content-Type.

    Saves parsing both headers, some 20 µs for each request.
    """

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        if switch.is_on():
            first = next(iter(parsers), None)
            if first and request.content_type == first.media_type:
                return first
        return super().select_parser(request, parsers)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        if switch.is_on():
            first, *others = renderers
            if not others and request.META.get("HTTP_ACCEPT", ANYTHING) in (ANYTHING, first.media_type):
                return first, str(first.media_type)
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen

    def get_accept_list(self, request: Request) -> list[str]:
        """The media ranges of Accept. An empty header is none, and accepts anything."""
        return super().get_accept_list(request) if request.META.get("HTTP_ACCEPT") else [ANYTHING]
