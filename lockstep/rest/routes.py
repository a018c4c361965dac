"""Patterns for ids, numbers and names in URLs."""

__all__ = ["ID", "KEY", "NAME"]

ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
KEY = rf"(?P<key>[0-9]{{1,18}}|{ID})"  # an id or a number, for requests.by_key
NAME = "[^/]{1,100}"  # an id or a name
