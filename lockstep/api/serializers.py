"""What every serializer shares: shape and limits, no decisions."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know, so that a misspelt name is an error and not a silent loss.

    A read-only field may be sent back as it was shown; it is ignored.
    """

    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401 - REST framework's signature
        if isinstance(data, Mapping) and (unknown := set(data) - set(self.fields)):
            raise serializers.ValidationError({name: ["There is no such field."] for name in sorted(unknown)})
        return super().to_internal_value(data)
