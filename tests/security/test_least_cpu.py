"""What a request costs is judged once, when it is measured: no machine that becomes quicker meanwhile changes it."""

from itertools import repeat

import pytest

from tests.security import strangers


def test_a_cost_that_was_not_much_when_it_was_measured_stays_so(monkeypatch: pytest.MonkeyPatch):
    slow_then_quick = iter([2.0, 1.0])
    monkeypatch.setattr(strangers, "slowness", lambda: next(slow_then_quick))

    assert strangers.least_cpu(0.15, lambda: pytest.fail("asked again"), asked="") == 0.15


def test_what_cost_much_once_is_asked_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(strangers, "slowness", lambda: 1.0)

    assert strangers.least_cpu(0.5, lambda: 0.01, asked="") == 0.01


def test_what_always_costs_much_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(strangers, "slowness", lambda: 1.0)
    costs = repeat(0.5)

    with pytest.raises(AssertionError, match="the request"):
        strangers.least_cpu(next(costs), lambda: next(costs), asked="the request")
