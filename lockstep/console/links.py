"""Addresses of the console's pages."""

from django.urls import NoReverseMatch, reverse


def address(name: str, *arguments: object) -> str:
    """The address of a page; "" where no route fits the arguments, such as a name with a slash."""
    try:
        return reverse(f"lockstep_console:{name}", args=arguments)
    except NoReverseMatch:
        return ""
