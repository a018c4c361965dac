"""Every page that people see, with what it needs in its address: the console, the owners' pages, the admin, the start.

A route of the console or of the owners that is not here raises KeyError, so that a new page is measured as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from django.db.models import Model
from django.http import HttpRequest
from django.test import Client

STAFF, OWNER = "pages-staff", "person-1"


@dataclass(frozen=True)
class Page:
    """An address, and who opens it."""

    address: str
    user: str = STAFF
    query: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.address}?{urlencode(self.query)}" if self.query else self.address

    def open(self, clients: "Clients") -> None:
        """Requests it. Raises ValueError where it does not show."""
        response = clients[self.user].get(str(self))
        if response.status_code != 200:
            raise ValueError(f"{self}: the response was {response.status_code}.")


class Clients(dict[str, Client]):
    """Browsers in which these users are signed in."""

    def __missing__(self, name: str) -> Client:
        from backend.accounts.models import User

        user = User.objects.filter(username=name).first()
        if user is None:
            user = User.objects.create_user(name, is_staff=True, is_superuser=True)
        client = Client(SERVER_NAME="127.0.0.1")
        client.force_login(user)
        self[name] = client
        return client


def all_pages() -> list[Page]:
    """The pages for the objects that crowd.py has made."""
    return [Page("/"), Page("/", OWNER), *_console(), *_of_owners(), *_admin()]


def _console() -> Iterator[Page]:
    from django.urls import reverse

    from lockstep.console import urls
    from lockstep.console.models import Run
    from lockstep.models import DeadLetter, Subscription

    mirror, member = "jsonplaceholder-mirror", _busy_endpoint()
    letters = DeadLetter.objects.filter(outcome=None)
    letter = str(letters.filter(subscription_id=mirror).order_by("-died")[0].pk)
    of_mirror = {"subscription": mirror}
    since = {"since": "2020-01-01T00:00"}
    plan, audit = (Run.objects.filter(kind=kind).latest("id").pk for kind in ("plan", "audit"))
    names = Subscription.objects.filter(state="paused").order_by("name").values_list("name", flat=True)
    rare = {"cause": "never found"}
    pages: dict[str, list[tuple[list[object], dict[str, str]]]] = {
        "overview": [([], {})],
        "subscriptions": [([], {}), ([], {"family": "webhook"}), ([], {"family": "webhook", "contains": "zzz"})],
        "subscription": [([mirror], {}), (["payments"], {}), ([f"webhook:{member}"], {}), ([names[0]], {})],
        "pause": [([mirror], {"reason": "a reason"})],
        "resume": [([names[0]], {})],
        "rewind": [([mirror], since), ([mirror], {"everything": "on"})],
        "dead_letters": [
            ([], {}),
            ([], of_mirror),
            ([], rare),
            ([], of_mirror | rare),
            ([], {"family": "webhook"}),
            ([], {"outcome": "replayed"}),
            ([], of_mirror | {"group": "HTTP 410"}),
            ([], of_mirror | {"before": letter}),
        ],
        "replay": [([], of_mirror), ([], of_mirror | {"letters": letter}), ([], of_mirror | rare)],
        "discard": [([], of_mirror | {"reason": "a reason"})],
        "dead_letter": [([letter], {})],
        "changes": [
            ([], {}),
            ([], {"model": "posts.comment"}),
            ([], {"actor": "unknown:1"}),
            ([], {"object_id": _oldest_post()}),
            ([], {"before": "500000"}),
        ],
        "object": [(["posts.post", _oldest_post()], {}), (["posts.post", _newest_post()], {})],
        "mirrors": [([], {})],
        "mirror": [(["jsonplaceholder"], {})],
        "plan": [(["jsonplaceholder"], {})],
        "run": [([plan], {}), ([plan], {"field": "never", "kind": "delete"}), ([audit], {})],
        "apply": [([plan], {})],
        "audit": [([], {})],
        "request_audit": [([], {})],
        "providers": [([], {})],
        "workers": [([], {})],
        "operations": [([], {}), ([], of_mirror)],
        "webhooks": [
            ([], {}),
            ([], {"owner": OWNER}),
            ([], {"host": "never"}),
            ([], {"state": "failing"}),
            ([], {"state": "off"}),
        ],
        "webhook": [([member], {}), ([member], {"failed": "on"})],
        "webhook_test": [([member], {})],
        "webhook_resend": [([member], {"message": _message(member)})],
        "webhook_off": [([member], {"reason": "a reason"})],
        "webhook_on": [([member], {})],
    }
    for name in filter(None, (route.name for route in urls.urlpatterns)):
        for arguments, query in pages[name]:
            yield Page(reverse(f"lockstep_console:{name}", args=arguments), query=query)


def _of_owners() -> Iterator[Page]:
    from django.urls import reverse

    from lockstep.console import owner_urls

    member = _busy_endpoint()
    queries = {"endpoint": [{}, {"failed": "on"}], "endpoint_resend": [{"message": _message(member)}]}
    for name in filter(None, (route.name for route in owner_urls.urlpatterns)):
        arguments = [member] if name.startswith("endpoint") else []
        for query in queries.get(name, [{}]) if name != "sign_out" else []:
            yield Page(reverse(f"lockstep_owners:{name}", args=arguments), OWNER, query)


def _admin() -> Iterator[Page]:
    from django.urls import reverse

    from backend.entities.admin_site import admin_site

    yield Page(reverse("admin:index"))
    for model, pages in admin_site._registry.items():
        opts = model._meta
        place = f"admin:{opts.app_label}_{opts.model_name}"
        yield Page(reverse(f"{place}_changelist"))
        if pages.search_fields:
            yield Page(reverse(f"{place}_changelist"), query={"q": "zzzz"})
        for name in pages.list_filter:
            yield Page(reverse(f"{place}_changelist"), query={f"{name}__exact": _value_of(model, str(name))})
        row = model._default_manager.order_by("pk").first()
        if row is None:
            continue
        for kind in ("change", "history", "delete"):
            if kind != "delete" or pages.has_delete_permission(_request()):
                yield Page(reverse(f"{place}_{kind}", args=[row.pk]))


def _request() -> HttpRequest:
    from django.test import RequestFactory

    from backend.accounts.models import User

    request = RequestFactory().get("/")
    request.user = User(is_active=True, is_staff=True, is_superuser=True)
    return request


def _value_of(model: type[Model], name: str) -> str:
    """A value of the column, as the list's filter sends it."""
    value = model._default_manager.order_by("pk").values_list(name, flat=True).first()
    return str(int(value) if isinstance(value, bool) else value)


def _busy_endpoint() -> str:
    """The endpoint with the most attempts."""
    from lockstep.webhooks.models import Endpoint

    return str(Endpoint.objects.filter(owner__username=OWNER, disabled=None).latest("id").pk)


def _message(member: str) -> str:
    from lockstep.models import Attempt

    return str(Attempt.objects.filter(subscription_id=f"webhook:{member}").latest("id").message_id)


def _oldest_post() -> str:
    """The one with the most changes."""
    from backend.posts.models import Post

    return str(Post.objects.order_by("id")[0].pk)


def _newest_post() -> str:
    from backend.posts.models import Post

    return str(Post.objects.order_by("-id")[0].pk)
