"""Which client may do what: every route of the URL resolver, every method that it takes, every kind of client."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from django.utils import timezone

from backend.accounts import sessions
from backend.accounts.authentication import find_session
from backend.accounts.development import ensure_client
from backend.accounts.models import Session, User
from backend.defects.actions import create_defect
from backend.movies.models import Catalogue, Movie, Rating
from backend.posts import actions as posts
from backend.shop.catalogue.actions import create_product, create_tag
from backend.shop.orders.actions import Line, place_order
from lockstep.changes.models import LoggedChange
from lockstep.rest import rate_limit
from lockstep.webhooks import actions as webhooks
from lockstep.webhooks.models import Endpoint
from tests.support import Cast, empty_tables

pytestmark = pytest.mark.django_db

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ACTORS = ("anonymous", "outsider", "colleague", "owner", "staff", "read-only", "revoked")
FORM = "application/x-www-form-urlencoded"
FOUND = 200  # let in: any 2xx, or a conflict with the state of things

# Parts of the resolver that have no row here, each with the test that looks after it. Static files are no route: the
# middleware serves them.
LEFT_OUT = {
    "admin/": "Django's own pages: backend/posts/tests/test_admin.py and API5 and API8 of the OWASP vectors",
    "console/": "pages with sessions: lockstep/tests/test_console.py",
    "webhooks/": "the same for every user: lockstep/tests/test_console_webhooks.py",
}


@dataclass(frozen=True)
class Access:
    """What each actor is answered. A route that looks at no token lets a bad one pass like none."""

    answers: Mapping[str, int]
    looks_at_tokens: bool = True

    def status(self, actor: str, method: str) -> int:
        """A token with the scope `read` may do what is safe, and nothing else."""
        if self.looks_at_tokens and actor == "read-only" and method != "GET":
            return 403
        return self.answers[actor]


def signed_in(others: int, *, owner: int = FOUND, staff: int = FOUND) -> Access:
    strangers = {"anonymous": 401, "revoked": 401, "outsider": others, "colleague": others}
    return Access({**strangers, "owner": owner, "read-only": owner, "staff": staff})


def every_client(status: int) -> Access:
    return Access(dict.fromkeys(ACTORS, status), looks_at_tokens=False)


PUBLIC = every_client(FOUND)
CREDENTIALS = every_client(FOUND)  # decided by the body's credentials, not by the token
REFUSED = every_client(401)  # a body without credentials is refused, also for staff
REFUSED_BY_OAUTH = every_client(400)  # the same, as RFC 6749 has it
NOWHERE = every_client(404)
SIGNED_IN = signed_in(FOUND)
OWN_LIST = signed_in(FOUND)  # each user sees their own objects only
OWNER_ONLY = signed_in(404, staff=404)
OWNER_OR_STAFF = signed_in(404)
SHOWN_BUT_OWNERS = signed_in(403, staff=403)
STAFF_ONLY = signed_in(403, owner=403)
STAFF_ONLY_HIDDEN = signed_in(404, owner=404)


@dataclass(frozen=True)
class Row:
    """What is expected of one method of one route. Names in braces are objects of the owner."""

    method: str
    path: str
    access: Access
    body: Mapping[str, Any] | None = None
    form: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


POST = {"title": "t", "body": "b"}
COMMENT = {"name": "n", "email": "e@example.com", "body": "b"}
PRODUCT = {"name": "n", "price": "1.00", "stock": 5}
LINES = {"lines": [{"product": "{product}", "quantity": 1}]}
CARD = {"payment": {"card_number": "4242424242424242", "expiry": "12/40", "cvc": "123"}}
HOOK = {"url": "https://example.com/hook", "events": ["posts.post.*"]}
CLIENT = {"client_id": "lockstep-dev"}
BY_PASSWORD = {**CLIENT, "grant_type": "password", "username": "owner"}
PASSWORDS = {"current_password": "{actor}-password", "new_password": "correct horse battery"}
RIGHT, WRONG = {"password": "owner-password"}, {"password": "colleague-password"}
FAKE, USERS, WEBHOOKS = "/fakeapi/v1/posts/", "/api/v1/users/", "/api/v1/webhooks/"
PRODUCTS, TAGS, BAG, ORDERS = "/api/v1/products/", "/api/v1/tags/", "/api/v1/bag/", "/api/v1/orders/"
OLD_PRODUCT, OLD_ORDER = "/api/product/", "/api/order/"
MOVIES = "/api/v1/movies/"
DEFECTS, OLD_DEFECTS = "/api/v1/defects/", "/api/defects/"

TABLE = [
    # Public operations
    Row("GET", "/healthz/", PUBLIC),
    Row("GET", "/readyz/", PUBLIC),
    Row("GET", "/metrics/", REFUSED),  # it has a token of its own, which no actor has here
    Row("GET", "/", PUBLIC),
    Row("GET", "/favicon.ico", PUBLIC),
    Row("GET", "/sign-in/", PUBLIC),
    Row("POST", "/sign-in/", PUBLIC),  # the form again, with its errors
    Row("PUT", "/sign-in/", every_client(405)),
    Row("GET", "/problems/", PUBLIC),
    Row("GET", "/problems/not-found/", PUBLIC),
    Row("GET", "/api/schema/", PUBLIC),
    Row("GET", "/api/schema/swagger-ui/", PUBLIC),
    Row("GET", "/api/schema/redoc/", PUBLIC),
    *(Row(method, "/nowhere/", NOWHERE) for method in METHODS),
    *(Row("POST", f"/development/{form}/", NOWHERE) for form in ("sign-in", "sign-out", "posts", "faults", "send")),
    # Signing in
    Row("POST", "/auth/", CREDENTIALS, {"username": "owner", **RIGHT}),
    Row("POST", "/auth/", REFUSED, {"username": "owner", **WRONG}),
    Row("POST", "/api/token/", CREDENTIALS, {"name": "owner", **RIGHT}),
    Row("POST", "/api/token/", REFUSED, {"name": "owner", **WRONG}),
    Row("POST", "/api/v1/auth/token/", CREDENTIALS, {"username": "owner", **RIGHT}),
    Row("POST", "/api/v1/auth/token/", REFUSED, {"username": "owner", **WRONG}),
    Row("POST", "/api/v1/auth/refresh/", CREDENTIALS, {"refresh": "{refresh}"}),
    Row("POST", "/api/v1/auth/refresh/", REFUSED, {"refresh": "{access}"}),
    Row("POST", "/api/v1/auth/verify/", CREDENTIALS, {"token": "{access}"}),
    Row("POST", "/api/v1/auth/verify/", REFUSED, {"token": "{revoked}"}),
    Row("POST", "/api/v1/auth/token/refresh/", CREDENTIALS, {"refresh": "{refresh}"}),
    Row("POST", "/api/v1/auth/token/verify/", CREDENTIALS, {"token": "{access}"}),
    Row("POST", "/oauth/token/", CREDENTIALS, {**BY_PASSWORD, **RIGHT}, form=True),
    Row("POST", "/oauth/token/", REFUSED_BY_OAUTH, {**BY_PASSWORD, **WRONG}, form=True),
    Row("POST", "/oauth/revoke_token/", CREDENTIALS, {**CLIENT, "token": "{access}"}, form=True),
    Row("POST", "/oauth/revoke_token/", REFUSED, {"client_id": "unknown", "token": "{access}"}, form=True),
    Row("POST", "/oauth/introspect/", STAFF_ONLY, {"token": "{access}"}, form=True),
    Row("POST", "/api/v1/auth/sign-out/", SIGNED_IN),
    # People
    Row("POST", "/api/register/", PUBLIC, {"name": "newcomer", "password": "correct horse battery"}),
    Row("POST", f"{USERS}register/", PUBLIC, {"username": "newcomer", "password": "correct horse battery"}),
    Row("GET", f"{USERS}me/", SIGNED_IN),
    Row("PATCH", f"{USERS}me/", SIGNED_IN, {"first_name": "F"}),
    Row("DELETE", f"{USERS}me/", SIGNED_IN, {"password": "{actor}-password"}),
    Row("POST", f"{USERS}me/password/", SIGNED_IN, PASSWORDS),
    Row("PUT", f"{USERS}me/password/", SIGNED_IN, PASSWORDS),
    Row("GET", USERS + "{user}/", SIGNED_IN),
    Row("POST", USERS + "{user}/follow/", SIGNED_IN),
    Row("DELETE", USERS + "{user}/follow/", SIGNED_IN),
    Row("GET", USERS + "{user}/followers/", SIGNED_IN),
    Row("GET", USERS + "{user}/following/", SIGNED_IN),
    # The change log
    Row("GET", "/api/v1/changes/", STAFF_ONLY),
    Row("GET", "/api/v1/history/posts.post/{post}/", SIGNED_IN),
    Row("GET", "/api/v1/history/lockstep_webhooks.endpoint/{endpoint}/", OWNER_OR_STAFF),
    Row("GET", "/api/v1/history/accounts.user/{user}/", STAFF_ONLY_HIDDEN),
    # Webhooks
    Row("GET", WEBHOOKS, OWN_LIST),
    Row("POST", WEBHOOKS, SIGNED_IN, HOOK),
    Row("GET", WEBHOOKS + "{endpoint}/", OWNER_ONLY),
    Row("PATCH", WEBHOOKS + "{endpoint}/", OWNER_ONLY, {"active": False}),
    Row("DELETE", WEBHOOKS + "{endpoint}/", OWNER_ONLY),
    Row("POST", WEBHOOKS + "{endpoint}/rotate/", OWNER_ONLY),
    Row("POST", WEBHOOKS + "{endpoint}/test/", OWNER_ONLY),
    Row("GET", WEBHOOKS + "{endpoint}/attempts/", OWNER_ONLY),
    Row("POST", WEBHOOKS + "{endpoint}/redeliver/", OWNER_ONLY, {"dead_letters": True}),
    # The shop: every user reads products, their owner changes them; bags and orders are private
    Row("GET", PRODUCTS, SIGNED_IN),
    Row("POST", PRODUCTS, SIGNED_IN, PRODUCT),
    Row("GET", PRODUCTS + "{product}/", SIGNED_IN),
    Row("PATCH", PRODUCTS + "{product}/", SHOWN_BUT_OWNERS, {"price": "2.00"}),
    Row("DELETE", PRODUCTS + "{product}/", SHOWN_BUT_OWNERS),
    Row("PUT", PRODUCTS + "{product}/tags/{tag}/", SHOWN_BUT_OWNERS),
    Row("DELETE", PRODUCTS + "{product}/tags/{tag}/", SHOWN_BUT_OWNERS),
    Row("GET", USERS + "{user}/products/", SIGNED_IN),
    Row("GET", TAGS, SIGNED_IN),
    Row("POST", TAGS, STAFF_ONLY, {"name": "new"}),
    Row("GET", TAGS + "{tag}/", SIGNED_IN),
    Row("PATCH", TAGS + "{tag}/", STAFF_ONLY, {"name": "new"}),
    Row("DELETE", TAGS + "{tag}/", STAFF_ONLY),
    Row("GET", "/api/v1/states/", SIGNED_IN),
    Row("GET", BAG, SIGNED_IN),
    Row("PUT", BAG + "items/{product}/", SIGNED_IN, {"quantity": 1}),
    Row("DELETE", BAG + "items/{product}/", SIGNED_IN),
    Row("POST", BAG + "order/", SIGNED_IN),
    Row("GET", ORDERS, SIGNED_IN),
    Row("POST", ORDERS, SIGNED_IN, LINES),
    Row("GET", ORDERS + "{order}/", OWNER_ONLY),
    Row("POST", ORDERS + "{order}/cancel/", OWNER_ONLY),
    Row("POST", ORDERS + "{order}/confirm/", OWNER_ONLY, CARD),
    Row("GET", "/api/v1/history/shop.order/{order}/", OWNER_OR_STAFF),
    Row("GET", "/api/v1/history/shop.product/{product}/", SIGNED_IN),
    Row("GET", PRODUCTS + "{product}/history/", SIGNED_IN),
    Row("GET", OLD_PRODUCT, SIGNED_IN),
    Row("POST", OLD_PRODUCT, SIGNED_IN, PRODUCT),
    Row("GET", OLD_PRODUCT + "{product}/", SIGNED_IN),
    Row("PUT", OLD_PRODUCT + "{product}/", SHOWN_BUT_OWNERS, PRODUCT),
    Row("DELETE", OLD_PRODUCT + "{product}/", SHOWN_BUT_OWNERS),
    Row("GET", OLD_ORDER, SIGNED_IN),
    Row("POST", OLD_ORDER, SIGNED_IN, {"products": [{"id": "{product}", "quantity": 1}]}),
    # Every user reads and edits defects; their reporter deletes them
    *(
        row
        for path in (DEFECTS, OLD_DEFECTS)
        for row in (
            Row("GET", path, SIGNED_IN),
            Row("POST", path, SIGNED_IN, {"comment": "c"}),
            Row("GET", path + "{defect}/", SIGNED_IN),
            Row("PUT", path + "{defect}/", SIGNED_IN, {"comment": "c"}),
            Row("PATCH", path + "{defect}/", SIGNED_IN, {"comment": "c"}),
            Row("DELETE", path + "{defect}/", SHOWN_BUT_OWNERS),
        )
    ),
    Row("GET", DEFECTS + "{defect}/history/", SIGNED_IN),
    # Every user reads movies; votes are private
    Row("GET", MOVIES, SIGNED_IN),
    Row("GET", MOVIES + "{movie}/", SIGNED_IN),
    Row("GET", MOVIES + "ratings/", SIGNED_IN),
    Row("POST", MOVIES + "ratings/", SIGNED_IN, {"movie_id": "{unrated}", "rating_type": "UPVOTE"}),
    Row("GET", MOVIES + "ratings/{rating}/", OWNER_ONLY),
    Row("PUT", MOVIES + "ratings/{rating}/", OWNER_ONLY, {"rating_type": "UPVOTE"}),
    Row("PATCH", MOVIES + "ratings/{rating}/", OWNER_ONLY, {"rating_type": "UPVOTE"}),
    Row("DELETE", MOVIES + "ratings/{rating}/", OWNER_ONLY),
    Row("GET", "/api/v1/history/movies.rating/{rating}/", OWNER_OR_STAFF),
    # Every signed-in user reads and writes posts and comments
    Row("GET", FAKE, SIGNED_IN),
    Row("POST", FAKE + "create/", SIGNED_IN, POST),
    Row("GET", FAKE + "{post}/", SIGNED_IN),
    Row("PUT", FAKE + "update/{post}/", SIGNED_IN, POST),
    Row("DELETE", FAKE + "delete/{post}/", SIGNED_IN),
    Row("GET", FAKE + "{post}/comments/", SIGNED_IN),
    Row("POST", FAKE + "{post}/comments/create/", SIGNED_IN, COMMENT),
    Row("GET", FAKE + "{post}/comments/{comment}/", SIGNED_IN),
    Row("PUT", FAKE + "{post}/comments/update/{comment}/", SIGNED_IN, COMMENT),
    Row("DELETE", FAKE + "{post}/comments/delete/{comment}/", SIGNED_IN),
]


# --- The table and the resolver say the same --------------------------------------------------------------

View = Callable[..., Any]
ANY_NAMES = {
    name: UUID(int=1) for name in ("user", "endpoint", "product", "tag", "defect", "movie", "rating")
} | dict.fromkeys(("post", "comment", "order"), 1)


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every route below, as ResolverMatch.route names it."""
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern).removeprefix("^")
        if route in LEFT_OUT:
            continue
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, route)
        else:
            yield route, pattern


def methods_taken(pattern: URLPattern) -> list[str]:
    view: View = pattern.callback
    if made_of := getattr(view, "cls", None) or getattr(view, "view_class", None):
        return [method for method in METHODS if hasattr(made_of, method.lower())]
    names = dict.fromkeys(pattern.pattern.regex.groupindex, "1")
    return [method for method in METHODS if view(request(method), **names).status_code != 405]


def request(method: str) -> HttpRequest:
    return RequestFactory().generic(method, "/")


def route_of(row: Row) -> str:
    return resolve(row.path.format(**ANY_NAMES)).route.removeprefix("^")


def there_are() -> set[str]:
    found = routes(get_resolver())
    return {f"{method} {route or '<any other>'}" for route, pattern in found for method in methods_taken(pattern)}


def declared() -> set[str]:
    return {f"{row.method} {route_of(row) or '<any other>'}" for row in TABLE}


def test_every_route_and_method_is_declared():
    missing = sorted(there_are() - declared())
    assert not missing, (
        f"These operations have no row: {missing}. Add for each a line such as "
        'Row("GET", "/api/v1/things/{thing}/", OWNER_ONLY) to TABLE in tests/security/test_authorisation_matrix.py, '
        "and what {thing} stands for to its fixture `names` and to ANY_NAMES."
    )


def test_every_declared_row_is_a_route():
    gone = sorted(declared() - there_are())
    assert not gone, f"TABLE declares what there is not: {gone}. Remove these rows, or bring the routes back."
    elsewhere = [str(row) for row in TABLE if not route_of(row) and row.access is not NOWHERE]
    assert not elsewhere, f"No route knows these paths of TABLE: {elsewhere}. Mend them, or bring the routes back."


def test_what_is_left_out_is_there():
    left_out = {str(pattern.pattern) for pattern in get_resolver().url_patterns} & set(LEFT_OUT)
    assert left_out == set(LEFT_OUT)


# --- What each is answered --------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def limits(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much is asked for is not the matter here; the figures are behind a token, as outside development."""
    monkeypatch.setattr("lockstep.rest.views.limiter", rate_limit.FixedWindowLimiter())
    settings.LOCKSTEP = settings.LOCKSTEP | {
        "REST_RATE_LIMIT": 1_000_000,
        "REST_METRICS_TOKEN": "the-token-of-the-figures",
    }
    settings.REGISTRATIONS_PER_HOUR = 1_000_000
    monkeypatch.setattr("backend.shop.payments.views.tokenise_card", lambda **card: "tok_1")  # no charge is made here


@pytest.fixture(scope="module")
def people(django_db_setup: None, django_db_blocker: Any) -> Iterator[tuple[Cast, dict[str, Any]]]:
    """The cast and what the owner has, committed once; what a test does to them is rolled back."""
    with django_db_blocker.unblock():
        cast = Cast.make()
        yield cast, made_for(cast.owner.user)
        empty_tables()


@pytest.fixture
def cast(people: tuple[Cast, dict[str, Any]]) -> Cast:
    cast, _ = people
    for person in vars(cast).values():
        person.client.cookies.clear()
    return cast


@pytest.fixture
def names(people: tuple[Cast, dict[str, Any]]) -> dict[str, Any]:
    """The owner's objects, by the names that stand in the table."""
    return people[1]


def made_for(owner: User) -> dict[str, Any]:
    ensure_client()
    actor = f"user:{owner.pk}"
    post = posts.create_post(actor=actor, **POST)
    post.refresh_from_db()
    comment = posts.create_comment(actor=actor, post_number=post.number, **COMMENT)
    comment.refresh_from_db()
    pair = sessions.open_pair(owner)
    return {
        **made_by(owner),
        "user": owner.pk,
        "post": post.number,
        "comment": comment.number,
        "endpoint": webhooks.create_endpoint(actor=actor, owner=owner, **HOOK).endpoint.pk,
        "access": pair.access,
        "refresh": pair.refresh,
        "revoked": revoked(owner),
    }


def made_by(owner: User) -> dict[str, Any]:
    """The owner's things in the shop, a tag, a defect and a vote."""
    actor = f"user:{owner.pk}"
    product = create_product(actor=actor, owner=owner, **PRODUCT)
    order = place_order(actor=actor, buyer=owner, lines=[Line(product.pk, 1)]).number
    return {
        "product": product.pk,
        "tag": create_tag(actor=actor, name="tag").pk,
        "order": order,
        **rated_by(owner),
        "defect": create_defect(actor=actor, user=owner, comment="a thing").pk,
    }


def rated_by(user: User) -> dict[str, Any]:
    """A movie with this user's vote, and one without."""
    movies = [Movie.objects.create(remote_id=UUID(int=n), title=f"thing {n}") for n in (1, 2)]
    Catalogue.objects.update_or_create(id=1, defaults={"refreshed": timezone.now()})
    rating = Rating.objects.create(user=user, movie=movies[0], rating_type="UPVOTE")
    return {"movie": movies[0].pk, "unrated": movies[1].pk, "rating": rating.pk}


def revoked(user: User) -> str:
    secret = sessions.open_opaque(user)
    session = find_session(secret)
    assert session
    Session.objects.filter(pk=session.pk).revoke()
    return secret


def read_only(user: User) -> str:
    secret = sessions.open_opaque(user)
    session = find_session(secret)
    assert session
    Session.objects.filter(pk=session.pk).update(scope="read")
    return secret


def client_of(actor: str, cast: Cast, names: Mapping[str, Any]) -> Client:
    if actor == "anonymous":
        return Client(raise_request_exception=False)
    if actor not in ("read-only", "revoked"):
        return getattr(cast, actor).client
    secret = names["revoked"] if actor == "revoked" else read_only(cast.owner.user)
    return Client(headers={"authorization": f"Bearer {secret}"}, raise_request_exception=False)


def filled(value: Any, names: Mapping[str, Any]) -> Any:
    """The value with the names in it replaced, however deep they stand."""
    if isinstance(value, Mapping):
        return {name: filled(one, names) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, names) for one in value]
    return value.format(**names) if isinstance(value, str) else value


def ask(client: Client, row: Row, names: Mapping[str, Any]) -> Any:
    body = filled(row.body or {}, names)
    send = getattr(client, row.method.lower())
    if row.method == "GET":
        return send(row.path.format(**names))
    content = (urlencode(body), FORM) if row.form else (body, "application/json")
    return send(row.path.format(**names), content[0], content_type=content[1])


def state() -> list[Any]:
    """Everything that a refused request must not change; the change log has the rest."""
    users = User.objects.order_by("pk").values_list("pk", "password", "is_active", "is_staff")
    open_sessions = Session.objects.open().order_by("pk").values_list("pk", "scope")
    endpoints = [bytes(secret) for secret in Endpoint.objects.order_by("pk").values_list("secret", flat=True)]
    return [LoggedChange.objects.count(), list(users), list(open_sessions), endpoints]


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("row", TABLE, ids=str)
def test_every_client_is_answered_as_declared(cast: Cast, names: dict[str, Any], row: Row, actor: str):
    expected = row.access.status(actor, row.method)
    client = client_of(actor, cast, names)
    before = state()
    answer = ask(client, row, {**names, "actor": actor})
    if expected == FOUND:
        assert answer.status_code < 300 or answer.status_code == 409, answer.content
    else:
        assert answer.status_code == expected, answer.content
        by_oauth = row.access in (REFUSED, REFUSED_BY_OAUTH) and row.path.startswith("/oauth/")
        assert answer["Content-Type"] == ("application/json" if by_oauth else "application/problem+json")
        assert state() == before
    if row.access is OWN_LIST and expected == FOUND:
        assert (str(names["endpoint"]) in answer.content.decode()) is (actor in ("owner", "read-only"))


def test_the_figures_open_to_their_own_token(client: Client, settings):
    headers = {"authorization": f"Bearer {settings.LOCKSTEP['REST_METRICS_TOKEN']}"}
    assert client.get("/metrics/", headers=headers).status_code == 200
