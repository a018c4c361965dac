"""JSONPlaceholder and its twin json-server: plain collections of objects named by small integers."""

from backend.providers.jsonplaceholder.client import JsonPlaceholder, remote_id

__all__ = ["JsonPlaceholder", "remote_id"]
