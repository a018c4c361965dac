"""The cost of each API convention for a request."""

import json
import os
import secrets
import subprocess
import sys
from itertools import pairwise
from uuid import uuid4

from backend.accounts.models import User
from backend.accounts.sessions import open_pair
from backend.posts.models import Post
from bench.processes import ROOT
from bench.row import Comparison, Figures, Row, Variant

# In the order in which bench/web/conventions.py adds them.
STEPS = (
    "Django and the row",
    "REST framework",
    "authentication",
    "our view: authentication and the row in one query, rate, limits, ETag",
    "request id, log line, figures, headers, problems",
    "everything",
)


class Conventions(Row):
    note = (
        "microseconds of CPU in the web process for one GET of a post, called as granian calls it. Each line has all "
        "of the lines above it, and one more, but for our view, which stands in the place of REST framework's and has "
        "its own authentication; the last has Django's security headers, its sessions for the admin, CORS and static "
        "files, too: what is served. POST: a new post, without and with an Idempotency-Key."
    )
    comparisons = (
        *(Comparison(f"+ {after}", after, before) for before, after in pairwise(STEPS)),
        Comparison("everything : Django and the row", "everything", "Django and the row"),
        Comparison("POST with an Idempotency-Key : without", "POST with a key", "POST"),
    )

    def prepare(self) -> None:
        user = User.objects.create_user(f"bench-{uuid4()}", password=secrets.token_urlsafe())
        self.token = open_pair(user).access
        self.number = Post.objects.create(title="A post", body="word " * 40).number
        os.environ |= {"RATE_LIMIT": "1000000000", "SECURE_SSL_REDIRECT": "false"}

    def variants(self) -> dict[str, Variant]:
        return {"in turn": self._in_turn}

    def _in_turn(self) -> Figures:
        command = [sys.executable, "-m", "bench.web.conventions", str(self.number), self.token, str(uuid4())]
        with (self.place.folder / "conventions.log").open("w") as log:
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, check=True)
        figures: Figures = json.loads(done.stdout)
        return figures
