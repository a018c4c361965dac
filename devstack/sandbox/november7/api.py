"""What November 7 answers, without the network.

    GET /movies/?skip=0&limit=10&query= → {"total", "items": [{"id", "title", "description", "image_url", "rating"}]}
    GET /movies → 307 to /movies/, by http

A wrong parameter is 422 {"detail": [{"loc", "msg", "type"}]}. `query` is looked for in titles, whatever its case.
"""

from collections.abc import Mapping
from urllib.parse import parse_qs

from devstack.sandbox.faults import Fault
from devstack.sandbox.messages import Answer, Request
from devstack.sandbox.november7.fault_profile import FaultSampler
from devstack.sandbox.november7.texts import movies

OLDER = ("id", "title")


class Api:
    """Its one route."""

    name = "November 7, the catalogue of movies"
    headers: Mapping[str, str] = {"Server": "November 7"}

    def __init__(self, sampler: FaultSampler) -> None:
        self.sampler = sampler
        self.movies = movies()

    def answer(self, request: Request) -> Answer:
        """What it answers to this request."""
        if request.path == "/movies":
            host = request.url.partition("://")[2].partition("/")[0]
            query = f"?{request.query}" if request.query else ""
            return Answer(307, headers={"Location": f"http://{host}/movies/{query}"})
        if request.path == "/":
            return Answer(200, text="A stand-in of November 7: /movies/")
        if request.path != "/movies/":
            return Answer(404, {"detail": "Not Found"})
        if request.method not in ("GET", "HEAD"):
            return Answer(405, {"detail": "Method Not Allowed"})
        return self._list({name: values[-1] for name, values in parse_qs(request.query).items()})

    def fault(self, request: Request) -> Fault:
        """What its profile does to a request."""
        return self.sampler.fault()

    def _list(self, parameters: Mapping[str, str]) -> Answer:
        wrong = [name for name in ("skip", "limit") if not parameters.get(name, "0").isdecimal()]
        if wrong:
            message = "Input should be a valid integer, greater than or equal to 0"
            complaints = [{"loc": ["query", name], "msg": message, "type": "int_parsing"} for name in wrong]
            return Answer(422, {"detail": complaints})
        skip, limit = int(parameters.get("skip", "0")), int(parameters.get("limit", "10"))
        query = parameters.get("query", "").lower()
        found = [movie for movie in self.movies if query in str(movie["title"]).lower()]
        items = found[skip : skip + limit]
        if self.sampler.is_older():
            items = [{name: movie[name] for name in OLDER} for movie in items]
        return Answer(200, {"total": len(found), "items": items})
