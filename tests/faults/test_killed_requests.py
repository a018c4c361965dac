"""kill -9 in the middle of a POST with an Idempotency-Key: sending it again has the effect once, never twice."""

import os
import signal
import subprocess
import sys

import pytest
from django.test import Client

from backend.accounts.models import User
from backend.accounts.sessions import open_opaque
from backend.posts.models import Post
from tests.acceptance.running import ROOT
from tests.faults.crashing_request import BODY, HEADERS, PATH
from tests.support import database_address


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("point", "left_behind"), [("effect", 0), ("kept", 0), ("committed", 1)])
def test_a_request_that_was_killed_is_sent_again(point: str, left_behind: int):
    token = open_opaque(User.objects.create_user("ada"))
    environment = os.environ | {"DATABASE_URL": database_address(), "DJANGO_SETTINGS_MODULE": "backend.config.settings"}
    command = [sys.executable, "-m", "tests.faults.crashing_request", point, token]
    crashing = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert crashing.returncode == -signal.SIGKILL, crashing.stderr.decode()[-2000:]
    assert Post.objects.count() == left_behind

    headers = HEADERS | {"authorization": f"Bearer {token}"}
    answers = [Client().post(PATH, BODY, content_type="application/json", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert ("Idempotent-Replayed" in answers[0]) == bool(left_behind)
    assert answers[0].content == answers[1].content
    assert Post.objects.count() == 1
