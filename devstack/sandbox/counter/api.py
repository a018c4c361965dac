"""What the counter answers, without the network.

    POST /  {"user": 1, "action": "create" | "delete"}, header webhook-id → {"counted": true}, or false: it was before
    GET  /  {"users": {"1": {"create": 3, "delete": 1}}, "messages": 4, "repeats": 0}

A message that is none is 422 {"detail"}. `examples/counter_server.js` is the same in deno, and checks signatures, too.
"""

from collections.abc import Mapping

import orjson

from devstack.sandbox.counter.tallies import Tallies
from devstack.sandbox.faults import Fault
from devstack.sandbox.messages import Answer, Request

ACTIONS = ("create", "delete")


class Api:
    """The routes of the counter."""

    name = "the counter of defects"
    headers: Mapping[str, str] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies

    def answer(self, request: Request) -> Answer:
        """The response to this request, after its message was counted."""
        match request.method, request.path.rstrip("/"):
            case (("GET" | "HEAD"), ""):
                return Answer(200, self._tallies.shown())
            case "POST", "":
                return self._count(request)
        return Answer(404, {"detail": "POST / and GET / are all there is"})

    def fault(self, request: Request) -> Fault:
        """None by its nature."""
        return Fault()

    def _count(self, request: Request) -> Answer:
        try:
            document = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            document = None
        user, action = (document.get(name) for name in ("user", "action")) if isinstance(document, dict) else ("", "")
        if type(user) is not int or action not in ACTIONS or not request.message_id:
            return Answer(422, {"detail": 'a message is {"user": 1, "action": "create" | "delete"}, with a webhook-id'})
        return Answer(200, {"counted": self._tallies.count(request.message_id, user, action)})
