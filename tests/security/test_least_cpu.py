"""What a request costs is judged once, when it is measured: no machine that becomes quicker meanwhile changes it."""

from itertools import repeat

import pytest

from tests.security import strangers


def test_a_cheap_request_is_not_judged_again(monkeypatch: pytest.MonkeyPatch):
    slow_then_quick = iter([2.0, 1.0])
    monkeypatch.setattr(strangers, "slowness", lambda: next(slow_then_quick))

    assert strangers.least_cpu(0.15, lambda: pytest.fail("repeated"), request="") == 0.15


def test_an_expensive_request_is_repeated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(strangers, "slowness", lambda: 1.0)

    assert strangers.least_cpu(0.5, lambda: 0.01, request="") == 0.01


def test_a_request_that_is_always_expensive_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(strangers, "slowness", lambda: 1.0)
    costs = repeat(0.5)

    with pytest.raises(AssertionError, match="the request"):
        strangers.least_cpu(next(costs), lambda: next(costs), request="the request")
