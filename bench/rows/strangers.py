"""A well-behaved client and the probes among clients that keep the server waiting, against the same without them."""

import http.client
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from backend.accounts.models import User
from backend.accounts.sessions import open_opaque
from backend.posts.models import Post
from backend.shop.models import Product
from bench.peers import start
from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.web.serving import serving_ours
from bench.web.strangers import GATEWAY_SECONDS, HALF_BODIES, HALF_HEADERS, STREAMS
from devstack.launcher.home import free_port
from lockstep.delivery.epochs import EPOCHS

REQUESTS, PAUSE_SECONDS, USERS = 1_500, 0.005, 8
EVERY = 10  # requests of the client to one of each probe
PROBES = ("/healthz", "/readyz", "/metrics")


class Strangers(Row):
    note = (
        f"ms of a GET of a product, {REQUESTS:,} in a row with {PAUSE_SECONDS * 1000:g} ms between them, and of the "
        f"probes between them; one web process. Strangers: {HALF_BODIES} bodies and {HALF_HEADERS} headers of which a "
        f"part came, opened anew as they are refused, {STREAMS} streams that are not read while much is written, and "
        f"{USERS} users who confirm one order after the other at a payment gateway that takes {GATEWAY_SECONDS:g} s."
    )
    comparisons = (
        Comparison("p99 ms, among strangers : alone", "strangers, p99", "alone, p99", Goal("at most", 1.5)),
        Comparison("p50 ms, among strangers : alone", "strangers, p50", "alone, p50"),
        Comparison("probes, p99 ms", "strangers, probes", "alone, probes", Goal("at most", 100, of="ours")),
    )

    def prepare(self) -> None:
        # Elsewhere the gateway would have to speak TLS.
        os.environ |= {"RATE_LIMIT": "1000000000", "LOG_LEVEL": "WARNING", "DEBUG": "true"}
        with self.place.connection() as connection:
            connection.execute(EPOCHS["begin_first"])
        staff = User.objects.create_user("strangers", password="", is_staff=True)
        users = [User.objects.create_user(f"stranger-{n}", password="") for n in range(USERS)]
        product = Product.objects.create(owner=staff, name="thing", description="", price="1", stock=10**6)
        self.staff, self.users = open_opaque(staff), [open_opaque(user) for user in users]
        self.product = product.number

    def variants(self) -> dict[str, Variant]:
        return {"alone": lambda: self._measured("alone"), "strangers": lambda: self._measured("strangers")}

    def _measured(self, name: str) -> Figures:
        gateway = free_port()
        os.environ["PAYMENTS_URL"] = f"http://127.0.0.1:{gateway}"
        with ExitStack() as stack:
            address = stack.enter_context(serving_ours(workers=1))
            port = int(address.rpartition(":")[2])
            if name == "strangers":
                self._bring(stack, gateway, port)
            return self._waits(name, port)

    def _bring(self, stack: ExitStack, gateway: int, port: int) -> None:
        words = [str(word) for word in (gateway, port, self.staff, *self.users, self.product)]
        command = [sys.executable, "-m", "bench.web.strangers", *words]
        strangers = start(stack, command, stdout=subprocess.PIPE)
        assert strangers.stdout
        strangers.stdout.readline()
        Post.objects.bulk_create(Post(title=f"Post {n}", body="x" * 9_000) for n in range(3_000))
        time.sleep(GATEWAY_SECONDS)  # the streams are stuck, and the gateway has its customers

    def _waits(self, name: str, port: int) -> Figures:
        client = http.client.HTTPConnection("127.0.0.1", port)
        probes, waits, of_probes = http.client.HTTPConnection("127.0.0.1", port), [], []
        path = f"/api/v1/products/{self.product}/"
        for number in range(self.place.scaled(REQUESTS)):
            waits.append(_milliseconds(client, path, self.staff))
            if number % EVERY == 0:
                of_probes += [_milliseconds(probes, probe, "") for probe in PROBES]
            time.sleep(PAUSE_SECONDS)
        return {
            f"{name}, p50": statistics.median(waits),
            f"{name}, p99": _p99(waits),
            f"{name}, probes": _p99(of_probes),
        }


def _milliseconds(client: http.client.HTTPConnection, path: str, token: str) -> float:
    began = time.perf_counter()
    client.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = client.getresponse()
    answer.read()
    if answer.status not in (200, 503):
        raise ValueError(f"{path} was answered {answer.status}")
    return (time.perf_counter() - began) * 1000


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
