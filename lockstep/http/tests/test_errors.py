import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.http.errors import (
    Conflict,
    NotFound,
    ProviderError,
    Refused,
    ServerError,
    Throttled,
    Unreachable,
    refusal,
)
from lockstep.http.retry_after import MAX_RETRY_AFTER, retry_after_seconds
from lockstep.version import VERSION

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (301, Refused, False),
        (400, Refused, False),
        (401, Refused, False),
        (404, NotFound, False),
        (408, Throttled, True),
        (409, Conflict, True),
        (413, Refused, False),
        (422, Refused, False),
        (425, Throttled, True),
        (429, Throttled, True),
        (500, ServerError, True),
        (502, ServerError, True),
        (503, Throttled, True),
        (504, ServerError, True),
    ],
)
def test_each_status_has_its_error(status, kind, retryable):
    error = refusal(status, "text", retry_after="7", write=True)
    assert type(error) is kind
    assert (error.retryable, error.retry_after) == (retryable, 7.0)
    assert error.outcome_unknown is (status >= 500)
    assert refusal(status).outcome_unknown is False
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("999999999", MAX_RETRY_AFTER),
        ("9" * 26, MAX_RETRY_AFTER),
        ("9" * 4_000, MAX_RETRY_AFTER),
        ("\u0661", None),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sunday, 01-Mar-26 12:01:30 GMT", 90.0),
        ("Sun Mar  1 12:01:30 2026", 90.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2099 11:00:00 GMT", MAX_RETRY_AFTER),
        ("Sun, 99 Mar 2026 11:00:00 GMT", None),
        ("Sun, 01 Mar 99999999999 11:00:00 GMT", None),
    ],
)
def test_retry_after_in_either_form(header, seconds):
    assert retry_after_seconds(header, now=NOW) == seconds


def test_a_retry_after_date_is_read_by_the_responses_date():
    """Ours may be ten minutes wrong, or theirs."""
    date, in_a_minute = "Sun, 01 Mar 2026 11:00:00 GMT", "Sun, 01 Mar 2026 11:01:00 GMT"
    assert retry_after_seconds(in_a_minute, date, now=NOW) == 60.0
    assert refusal(503, retry_after=in_a_minute, date=date).retry_after == 60.0
    assert retry_after_seconds("30", date, now=NOW) == 30.0
    assert retry_after_seconds("Sun, 01 Mar 2026 12:01:00 GMT", "nonsense", now=NOW) == 60.0


@settings(deadline=None)
@given(st.text() | st.text("SunMar, 019:+-GMT", max_size=40))
def test_no_retry_after_does_harm(header):
    seconds = retry_after_seconds(header, now=NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


def test_the_message_is_the_idea_and_the_detail():
    assert str(Unreachable()) == "The remote system could not be reached, or did not respond in time."
    assert str(NotFound("posts 7")) == "The remote system has no such object. (posts 7)"


def test_the_tree_at_the_top_of_the_file_is_the_tree():
    from lockstep.http import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ProviderError)]
    assert len(kinds) == 8
    assert all(f"{kind.__name__} " in errors.__doc__ or f"{kind.__name__}\n" in errors.__doc__ for kind in kinds)


def test_the_version_is_the_projects():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
