"""Clients that keep a server waiting: half bodies, streams that are not read, orders at a gateway that takes long.

    python -m bench.web.strangers GATEWAY_PORT PORT STAFF_TOKEN USER_TOKEN … PRODUCT

Prints a line once all of them are there.
"""

import http.client
import json
import select
import socket
import sys
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

HALF_BODIES, HALF_HEADERS, STREAMS = 300, 200, 16
GATEWAY_SECONDS = 5.0
CARD = {"payment": {"card_number": "4242424242424242", "expiry": "12/40", "cvc": "123"}}
BODY = "POST /auth/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{..."
HEADERS = "GET /api/v1/products/ HTTP/1.1\r\nHost: loc"
STREAM = (
    "GET /api/v1/changes/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nAccept: text/event-stream\r\n\r\n"
)


class Gateway(BaseHTTPRequestHandler):
    """Gives every card a token, and takes its time."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(GATEWAY_SECONDS)
        body = b'{"token": "tok_abc"}'
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def sent(port: int, text: str) -> socket.socket:
    """A connection on which this was sent. It takes little of what comes."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(("127.0.0.1", port))
    one.sendall(text.encode())
    return one


def hold(port: int, texts: Sequence[str]) -> None:
    """Keeps a connection for each text; one that is answered or closed is opened again."""
    held = {sent(port, text): text for text in texts}
    print("held", flush=True)
    while True:
        for one in select.select(list(held), [], [])[0]:
            text = held.pop(one)
            one.close()
            held[sent(port, text)] = text


def confirm(port: int, token: str, product: int) -> None:
    """Orders and confirms, one order after the other."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    client = http.client.HTTPConnection("127.0.0.1", port)
    while True:
        number = posted(client, "/api/v1/orders/", {"lines": [{"product": product, "quantity": 1}]}, headers)["number"]
        posted(client, f"/api/v1/orders/{number}/confirm/", CARD, headers)


def posted(client: http.client.HTTPConnection, path: str, body: object, headers: dict[str, str]) -> dict[str, int]:
    """The response to a POST."""
    client.request("POST", path, json.dumps(body), headers)
    answer: dict[str, int] = json.loads(client.getresponse().read())
    return answer


def main() -> None:
    """All of them, until the process is ended."""
    gateway, port, product = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[-1])
    staff, *users = sys.argv[3:-1]
    server = ThreadingHTTPServer(("127.0.0.1", gateway), Gateway)
    Thread(target=server.serve_forever, daemon=True).start()
    for user in users:
        Thread(target=confirm, args=(port, user, product), daemon=True).start()
    streams = [sent(port, STREAM.format(staff)) for _ in range(STREAMS)]
    hold(port, [BODY] * HALF_BODIES + [HEADERS] * HALF_HEADERS)
    del streams  # not read until here


if __name__ == "__main__":
    main()
