"""The client of JSONPlaceholder and json-server: collections of objects with small integers as ids."""

from backend.providers.jsonplaceholder.client import JsonPlaceholder, remote_id

__all__ = ["JsonPlaceholder", "remote_id"]
