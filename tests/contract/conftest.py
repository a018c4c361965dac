"""One fixture: every kind of JSONPlaceholder there is, real ones and stand-ins, under the same tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from devstack.sandbox.jsonplaceholder import Mode, StandIn
from tests.contract.providers import NodeServer, start_json_server, start_real_jsonplaceholder

REAL = [pytest.mark.needs("node"), pytest.mark.needs("npm-packages")]

# name of the server, the mode it is in; a stand-in must be like the real one of the same mode
SERVERS = [
    pytest.param(("stand-in", "persistent"), id="stand-in-persistent"),
    pytest.param(("json-server", "persistent"), id="json-server", marks=REAL),
    pytest.param(("stand-in", "amnesiac"), id="stand-in-amnesiac"),
    pytest.param(("jsonplaceholder", "amnesiac"), id="jsonplaceholder", marks=REAL),
    pytest.param(("stand-in", "public"), id="stand-in-public"),
    pytest.param(("json-server-pretending", "public"), id="json-server-pretending", marks=REAL),
]


@dataclass(frozen=True)
class Provider:
    """A running provider: where, and which of the three kinds of habits it has."""

    url: str
    mode: Mode
    http: httpx.Client

    @property
    def remembers(self) -> bool:
        return self.mode == "persistent"

    def ids(self, collection: str) -> list[int]:
        return [row["id"] for row in self.http.get(f"/{collection}").json()]

    def new_post(self, **fields: object) -> dict[str, object]:
        answer = self.http.post("/posts", json={"userId": 1, "title": "new", "body": "b", **fields})
        assert answer.status_code == 201
        return answer.json()


@pytest.fixture(scope="module", params=SERVERS)
def provider(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    name, mode = request.param
    with (
        _start(name, mode, tmp_path_factory.mktemp(name)) as server,
        httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http,
    ):
        yield Provider(server.url, mode, http)


def _start(name: str, mode: Mode, folder: Path) -> StandIn | NodeServer:
    if name == "stand-in":
        return StandIn(mode, users=10)
    if name == "json-server":
        return start_json_server(folder)
    return start_real_jsonplaceholder(folder, public=name == "json-server-pretending")
