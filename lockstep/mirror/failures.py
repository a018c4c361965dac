"""A provider's failure, in the words of delivery."""

from collections.abc import Iterator
from contextlib import contextmanager

from lockstep.delivery import errors as delivery
from lockstep.providers.errors import ProviderError, Unreachable


@contextmanager
def provider_errors_as_delivery_errors() -> Iterator[None]:
    """What the provider did, in the words that the worker understands."""
    try:
        yield
    except Unreachable as error:
        raise delivery.Unreachable(str(error)) from error
    except ProviderError as error:
        if error.retryable:
            raise delivery.TryAgain(str(error), error.retry_after) from error
        raise delivery.Refused(str(error)) from error
