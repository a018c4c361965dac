"""What a view reads off a request."""

from rest_framework.request import Request


def actor_of(request: Request) -> str:
    """How the change log names who is asking."""
    return f"user:{request.user.pk}"
