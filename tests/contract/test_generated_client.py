"""A client generated from docs/openapi.yaml, used as its users would, against a running server."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from backend.accounts.models import User
from backend.posts.models import Post
from devstack.clients import PYTHON_PACKAGE, generate_python
from tests.schema_fixtures import description
from tests.support import Person

PACKAGE = PYTHON_PACKAGE


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the generated package, importable."""
    folder = tmp_path_factory.mktemp("client") / "python"
    generate_python(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder / PACKAGE
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]


@dataclass(frozen=True)
class Generated:
    """The generated package, and a client of it."""

    client: Any

    def __getattr__(self, name: str) -> Any:
        """A model by its name."""
        return getattr(import_module(f"{PACKAGE}.models"), name)

    def call(self, operation: str, *arguments: Any, **options: Any) -> Any:
        """Calls an operation, `posts.create_post`; the answer has status_code, headers and what was parsed."""
        function: Callable[..., Any] = import_module(f"{PACKAGE}.api.{operation}").sync_detailed
        return function(*arguments, client=self.client, **options)


@pytest.fixture
def visitor(generated: Path, live_server: Any) -> Generated:
    """A client without an account."""
    return Generated(import_module(f"{PACKAGE}.client").Client(base_url=live_server.url))


@pytest.fixture
def user(visitor: Generated, live_server: Any) -> Generated:
    """A user with an account and a token, both made through the client."""
    password = "a long one, please"
    made = visitor.call("people.register_user", body=visitor.RegistrationRequest(username="ada", password=password))
    assert (made.status_code, made.parsed.username) == (201, "ada")
    pair = visitor.call(
        "signing_in.create_token_pair", body=visitor.NameOrEmailRequest(username="ada", password=password)
    ).parsed
    return signed_in(live_server.url, pair.access)


def signed_in(url: str, token: str) -> Generated:
    return Generated(import_module(f"{PACKAGE}.client").AuthenticatedClient(base_url=url, token=token))


def test_it_has_a_function_for_every_operation(generated: Path):
    functions = [path for path in (generated / "api").rglob("*.py") if path.name != "__init__.py"]
    assert len(functions) == sum(len(item) for item in description()["paths"].values())
    for path in functions:
        import_module(f"{PACKAGE}.api.{path.parent.name}.{path.stem}")


def test_no_constant_is_called_by_its_place(generated: Path):
    numbered = [path.name for path in (generated / "models").glob("*.py") if "VALUE_" in path.read_text()]
    assert numbered == []


def test_a_post_is_made_read_changed_and_deleted(user: Generated):
    made = user.call("posts.create_post", body=user.PostRequest(title="Hello", body="In step."))
    assert made.status_code == 201
    assert (made.parsed.title, made.parsed.user_id) == ("Hello", 99999942)
    number = made.parsed.id
    changed = user.call("posts.update_post", number, body=user.PostRequest(title="Hello again", body="In step."))
    assert changed.parsed == user.call("posts.get_post", number).parsed
    assert changed.parsed.title == "Hello again"
    assert user.call("posts.delete_post", number).status_code == 204
    gone = user.call("posts.get_post", number)
    assert (gone.status_code, gone.parsed.type_, gone.parsed.status) == (404, "/problems/not-found", 404)


def test_a_comment_is_made_and_listed(user: Generated):
    number = user.call("posts.create_post", body=user.PostRequest(title="t", body="b")).parsed.id
    words = user.CommentRequest(name="Ada", email="ada@example.com", body="So it is.")
    made = user.call("posts.create_comment", number, body=words).parsed
    assert user.call("posts.list_comments", number).parsed == [made]
    assert user.call("posts.get_comment", number, made.id).parsed == made


def test_posts_are_listed_in_pages(user: Generated):
    Post.objects.bulk_create(Post(title=f"{number}", body="b") for number in range(5))
    page = user.call("posts.list_posts", field_page=2, field_limit=2)
    assert [post.title for post in page.parsed] == ["2", "3"]
    assert page.headers["X-Total-Count"] == "5"
    assert 'rel="next"' in page.headers["Link"]


def test_people_are_listed_by_cursor(user: Generated):
    for name in ("b", "c", "d"):
        follower = Person.make(name).user
        follower.follows.create(followed=User.objects.get(username="ada"))
    key = str(user.call("people.get_me").parsed.number)
    first = user.call("people.list_followers", key, limit=2).parsed
    [cursor] = parse_qs(urlsplit(first.next_).query)["cursor"]
    second = user.call("people.list_followers", key, limit=2, cursor=cursor).parsed
    assert [one.username for one in (*first.results, *second.results)] == ["d", "c", "b"]
    assert second.next_ is None


def test_an_invalid_field_is_a_problem_that_names_it(user: Generated):
    refused = user.call("posts.create_post", body=user.PostRequest(title="", body="b"))
    assert refused.status_code == 400
    assert isinstance(refused.parsed, user.Problem)
    assert (refused.parsed.type_, [error.field for error in refused.parsed.errors]) == ("/problems/invalid", ["title"])


def test_without_a_token_there_is_a_problem(visitor: Generated):
    refused = visitor.call("posts.list_posts")
    assert (refused.status_code, refused.parsed.type_) == (401, "/problems/unauthenticated")


def test_an_endpoint_is_changed_with_its_current_etag(user: Generated):
    body = user.EndpointRequest(url="https://example.com/hook", events=["posts.post.*"])
    made = user.call("webhooks.create_webhook", body=body)
    assert made.parsed.secret.startswith("whsec_")
    key = made.parsed.id
    read = user.call("webhooks.get_webhook", key)
    tag = read.headers["ETag"]
    assert user.call("webhooks.get_webhook", key, if_none_match=tag).status_code == 304
    mine = user.PatchedEndpointRequest(description="mine")
    changed = user.call("webhooks.update_webhook", key, body=mine, if_match=tag)
    assert (changed.status_code, changed.parsed.description) == (200, "mine")
    theirs = user.PatchedEndpointRequest(description="theirs")
    late = user.call("webhooks.update_webhook", key, body=theirs, if_match=tag)
    assert (late.status_code, late.parsed.type_) == (412, "/problems/out-of-date")
    assert [one.description for one in user.call("webhooks.list_webhooks").parsed.results] == ["mine"]
    assert user.call("webhooks.list_webhook_attempts", key).parsed.results == []
    assert user.call("webhooks.delete_webhook", key, if_match=changed.headers["ETag"]).status_code == 204


def test_a_request_that_is_sent_again_is_carried_out_once(user: Generated):
    post, key = user.PostRequest(title="once", body="b"), str(uuid4())
    first, second = (user.call("posts.create_post", body=post, idempotency_key=key) for _ in range(2))
    assert first.parsed == second.parsed
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    other = user.call("posts.create_post", body=user.PostRequest(title="other", body="b"), idempotency_key=key)
    assert (other.status_code, other.parsed.type_) == (422, "/problems/key-reused")


def test_a_pair_is_refreshed_and_ended(visitor: Generated, live_server: Any):
    Person.make("grace")
    credentials = visitor.NameOrEmailRequest(username="grace", password="grace-password")
    pair = visitor.call("signing_in.create_token_pair", body=credentials).parsed
    following = visitor.call("signing_in.refresh_token_pair", body=visitor.RefreshRequest(refresh=pair.refresh)).parsed
    assert following.refresh != pair.refresh
    user = signed_in(live_server.url, following.access)
    assert user.call("people.get_me").parsed.username == "grace"
    assert user.call("signing_in.sign_out").status_code == 204
    token = user.TokenRequest(token=following.access)
    assert visitor.call("signing_in.verify_token", body=token).status_code == 401


def test_a_refusal_of_oauth_has_its_error(visitor: Generated):
    form = visitor.OAuthGrantRequest(
        grant_type=visitor.GrantTypeEnum.PASSWORD, username="u", password="p", client_id="unknown"
    )
    refused = visitor.call("signing_in.create_oauth_tokens", body=form)
    assert (refused.status_code, refused.parsed.error) == (401, "invalid_client")


def test_a_message_to_a_webhook_is_parsed(visitor: Generated):
    after = {"title": "t", "body": "b", "number": 7, "user_id": 1}
    data = {"id": "7", "before": None, "after": after}
    event = {"type": "posts.post.created", "timestamp": "2026-01-31T12:00:00Z", "data": data}
    parsed = visitor.PostsPostCreatedEvent.from_dict(event)
    assert (parsed.type_, parsed.data.before, parsed.data.after.title) == ("posts.post.created", None, "t")
    with pytest.raises(ValueError, match=r"posts\.post\.created"):
        visitor.PostsPostCreatedEvent.from_dict(event | {"type": "posts.post.deleted"})


def test_staff_read_the_log(visitor: Generated, live_server: Any):
    Person.make("boss", staff=True)
    credentials = visitor.CredentialsRequest(username="boss", password="boss-password")
    boss = signed_in(live_server.url, visitor.call("signing_in.create_token", body=credentials).parsed.token)
    boss.call("posts.create_post", body=boss.PostRequest(title="logged", body="b"))
    [change] = boss.call("changes.list_changes", model=boss.ListChangesModel.POSTS_POST).parsed.results
    assert (change.kind.value, change.after["title"]) == ("created", "logged")
    [entry] = boss.call("changes.list_object_history", "posts.post", change.object_id).parsed.results
    assert (entry.by, entry.changed["title"].after) == ("boss", "logged")
