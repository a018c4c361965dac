"""Errors of a provider as errors of delivery."""

from collections.abc import Iterator
from contextlib import contextmanager

from lockstep.delivery import errors as delivery
from lockstep.http.errors import ProviderError, Unreachable

__all__ = ["provider_errors_as_delivery_errors"]


@contextmanager
def provider_errors_as_delivery_errors() -> Iterator[None]:
    """Raises the errors of a provider's client as the errors that a courier handles."""
    try:
        yield
    except Unreachable as error:
        raise delivery.Unreachable(str(error)) from error
    except ProviderError as error:
        if error.retryable:
            raise delivery.RetryLater(str(error), error.retry_after) from error
        raise delivery.Rejected(str(error)) from error
