"""A client of the running system, and load on it."""

import asyncio
import itertools
import json
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx

PASSWORD = "a long one of its own"
MAX_OPEN = 64  # requests of a load, and its connections: at ten a second none waits longer than the server allows


class Client(httpx.Client):
    """Speaks to an address of this machine as if it were `host`."""

    def __init__(self, port: int, host: str = "localhost", certificate: Path | None = None) -> None:
        scheme, verify = (
            ("https", ssl.create_default_context(cafile=str(certificate))) if certificate else ("http", True)
        )
        # The name in the certificate is the one that is asked for, wherever it is.
        super().__init__(
            base_url=f"{scheme}://127.0.0.1:{port}", headers={"Host": host}, verify=verify, timeout=60, trust_env=False
        )

    def sign_in(self, username: str, password: str) -> "Client":
        """From now on requests have this user's token."""
        answer = self.post("/auth/", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        self.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return self

    def register(self, username: str) -> "Client":
        """A new account, signed in."""
        answer = self.post("/api/v1/users/register/", json={"username": username, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        return self.sign_in(username, PASSWORD)

    def make_post(self, title: str) -> int:
        """The number of a new post."""
        answer = self.post("/fakeapi/v1/posts/create/", json={"title": title, "body": "b"})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])


@dataclass
class Load:
    """Requests at a rate, of several users: reads, creations, and changes of one object after the other.

    While MAX_OPEN have no answer yet none is added: how much a machine can serve is not the matter of a test.
    """

    url: str
    certificate: Path
    host: str
    tokens: list[str]
    rate: float = 200.0
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)  # of the posts that were made, by title
    _numbers: dict[str, int] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def run(self, is_over: asyncio.Event) -> None:
        """Until it is over, and all answers are there."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        connector = aiohttp.TCPConnector(ssl=context, limit=MAX_OPEN)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
            due, tasks, slots = time.monotonic(), [], asyncio.Semaphore(MAX_OPEN)
            for n in itertools.count():
                await slots.acquire()
                if is_over.is_set():
                    break
                tasks.append(asyncio.ensure_future(self._one(session, n)))
                tasks[-1].add_done_callback(lambda _: slots.release())
                due = max(due + 1 / self.rate, time.monotonic())
                await asyncio.sleep(due - time.monotonic())
            await asyncio.gather(*tasks)

    async def _one(self, session: aiohttp.ClientSession, n: int) -> None:
        try:
            status, text = await self._ask(session, n)
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures.append(f"{n}: {error!r}")
            return
        self.answers[str(status)] += 1
        if status >= 400:
            self.failures.append(f"{n}: {status} {text[:200]!r}")

    async def _ask(self, session: aiohttp.ClientSession, n: int) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self.tokens[n % len(self.tokens)]}", "Host": self.host}
        if n % 4 == 0:
            title = f"post {n}"
            body = {"title": title, "body": "0"}
            async with session.post(f"{self.url}/fakeapi/v1/posts/create/", json=body, headers=headers) as answer:
                text = await answer.read()
                if answer.status == 201:
                    self._numbers[title], self.versions[title] = json.loads(text)["id"], 0
                return answer.status, text
        if n % 4 == 1 and self._numbers:
            title = list(self._numbers)[-1 - n // 4 % min(len(self._numbers), 20)]
            async with self._locks.setdefault(title, asyncio.Lock()):
                return await self._change(session, title, headers)
        async with session.get(f"{self.url}/fakeapi/v1/posts/?_limit=10", headers=headers) as answer:
            return answer.status, await answer.read()

    async def _change(self, session: aiohttp.ClientSession, title: str, headers: dict[str, str]) -> tuple[int, bytes]:
        version = self.versions[title] + 1
        address = f"{self.url}/fakeapi/v1/posts/update/{self._numbers[title]}/"
        async with session.put(address, json={"title": title, "body": str(version)}, headers=headers) as answer:
            text = await answer.read()
            if answer.status == 200:
                self.versions[title] = version
            return answer.status, text


def listed(events: str) -> list[dict[str, Any]]:
    """The data of a stream's events."""
    return [json.loads(line.removeprefix("data: ")) for line in events.splitlines() if line.startswith("data: ")]
