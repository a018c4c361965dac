"""What names an object in an address."""

ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
KEY = rf"(?P<key>[0-9]{{1,18}}|{ID})"  # an id, or a number: requests.by_key looks for either
NAME = "[^/]{1,100}"  # an id, or the name of what has one
