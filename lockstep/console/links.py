"""Addresses of the console's pages."""

from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode


def address(name: str, *arguments: object) -> str:
    """The address of a page; "" where no route fits the arguments, such as a name with a slash, or a path with "..".

    Browsers leave out segments of dots, and would ask for another page.
    """
    if any(segment in (".", "..") for argument in arguments for segment in str(argument).split("/")):
        return ""
    try:
        return reverse(f"lockstep_console:{name}", args=arguments)
    except NoReverseMatch:
        return ""


def letters_address(subscription: str) -> str:
    """The address of a subscription's dead letters; "" where the project leaves that page out."""
    page = address("dead_letters")
    return f"{page}?{urlencode({'subscription': subscription})}" if page else ""
