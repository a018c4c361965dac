"""A receiver of webhooks by https that notes everything it was sent, one line of JSON for each, and answers 204."""

import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 8443
NOTES = Path("/notes/received.jsonl")


class Receiver(BaseHTTPRequestHandler):
    """Each request is a delivery; it is noted before it is answered."""

    protocol_version = "HTTP/1.1"
    writing = threading.Lock()

    def do_POST(self) -> None:
        """Notes its id and its body."""
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        line = json.dumps({"message": self.headers["webhook-id"], **event})
        with self.writing, NOTES.open("a") as notes:
            notes.write(f"{line}\n")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Its notes are enough."""


def main(certificate: str, key: str) -> None:
    """Serves for ever."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("0.0.0.0", PORT), Receiver)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
