"""The Content-Security-Policy of pages: nothing inline, nothing of other hosts."""

from urllib.parse import urlsplit

from django.conf import settings

__all__ = ["page_policy"]

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
FROM_STATIC_FILES = ("script-src", "style-src", "img-src")


def page_policy() -> str:
    """The policy. Static files may be on another host."""
    static = urlsplit(str(settings.STATIC_URL))
    origin = f" {static.scheme or 'https'}://{static.netloc}" if static.netloc else ""
    return "; ".join(
        f"{name} {sources}{origin if name in FROM_STATIC_FILES else ''}" for name, sources in POLICY.items()
    )
