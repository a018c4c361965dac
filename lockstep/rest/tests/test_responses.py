"""Headers of responses, and the media types that are sent and accepted."""

import pytest
from django.http.response import BadHeaderError

from lockstep.rest.fastpath import Headers
from lockstep.rest.responses import ApiResponse
from tests.support import Cast

POSTS, PRODUCTS = "/fakeapi/v1/posts/", "/api/v1/products/"


@pytest.mark.parametrize("name, value", [("X-A", "a\r\nX-B: b"), ("X-A", "\n"), ("X-A: b\nX-B", "b")])
def test_a_header_is_one_line(name: str, value: str):
    with pytest.raises(BadHeaderError):
        Headers({})[name] = value


def test_headers_equal_djangos():
    headers = Headers({"Content-Type": "a"})
    headers["X-Name"] = "Zoë ✓"
    headers["X-Number"] = 1
    headers.setdefault("content-type", "b")
    headers.setdefault("X-More", "c")
    assert dict(headers.items()) == {
        "Content-Type": "a",
        "X-Name": "=?utf-8?b?Wm/DqyDinJM=?=",
        "X-Number": "1",
        "X-More": "c",
    }
    assert "CONTENT-TYPE" in headers
    assert 1 not in headers


def test_a_response_without_data_has_no_content_type():
    assert "Content-Type" not in ApiResponse(status=204)
    assert ApiResponse([])["Content-Type"] == "application/json"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("", 200),
        ("*/*", 200),
        ("application/json", 200),
        ("text/html, application/json;q=0.9", 200),
        ("application/*", 200),
        ("text/html", 406),
        ("image/png, text/*", 406),
    ],
)
def test_responses_are_json(cast: Cast, accept: str, status: int):
    assert cast.owner.client.get(POSTS, headers={"accept": accept}).status_code == status


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
def test_other_media_types_than_json_are_415(cast: Cast, kind: str):
    assert cast.owner.client.post(PRODUCTS, "{}", content_type=kind).status_code == 415


@pytest.mark.django_db
def test_oauth_endpoints_accept_forms_only(cast: Cast):
    """The endpoints of OAuth 2 accept forms only."""
    assert cast.owner.client.post("/oauth/token/", "{}", content_type="application/json").status_code == 415


@pytest.mark.django_db
def test_405_names_the_allowed_methods(cast: Cast):
    assert cast.owner.get(PRODUCTS)["Allow"] == "GET, POST, HEAD, OPTIONS"
    described = cast.owner.client.options(PRODUCTS)
    assert (described.status_code, described.json()["parses"]) == (200, ["application/json"])
