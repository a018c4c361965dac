"""Instances that are shared by all requests."""

from functools import cache
from typing import TYPE_CHECKING, Any

from lockstep.rest.fastpath import switch

if TYPE_CHECKING:
    from rest_framework.views import APIView
else:
    APIView = object  # importing it imports the authentication classes, which need this package


class SharedInstances(APIView):
    """A mixin of APIView: creates parsers, authenticators, permissions and negotiator once, and not for each request.

    All of them must be stateless. Saves the creation of some six objects for each request.
    """

    def get_parsers(self) -> Any:  # noqa: ANN401 - REST framework's types, as below
        return _instances(tuple(self.parser_classes)) if switch.is_on() else super().get_parsers()

    def get_authenticators(self) -> Any:  # noqa: ANN401
        return _instances(tuple(self.authentication_classes)) if switch.is_on() else super().get_authenticators()

    def get_permissions(self) -> Any:  # noqa: ANN401
        return _instances(tuple(self.permission_classes)) if switch.is_on() else super().get_permissions()

    def get_content_negotiator(self) -> Any:  # noqa: ANN401
        if not switch.is_on():
            return super().get_content_negotiator()
        return _instances((self.content_negotiation_class,))[0]


@cache
def _instances(classes: tuple[type, ...]) -> list[Any]:
    return [one() for one in classes]
