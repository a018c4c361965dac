"""The pages of webhook endpoints: those of all users for operators, and their own for owners."""

import importlib
import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from kit.operators import OPERATE, VIEW, Operator, confirmed_values, person, signed_in
from kit.queries import queries_of, used_indexes
from project.blog.models import Article

from lockstep.console import urls
from lockstep.console.models import Operation
from lockstep.console.reads.webhooks import origin_of
from lockstep.models import Attempt, DeadLetter, Delivery, LoggedChange, Subscription
from lockstep.rest import rate_limit
from lockstep.rest.encryption import decrypt
from lockstep.webhooks import actions
from lockstep.webhooks.deliver import URL_HASH, url_hash
from lockstep.webhooks.models import SECRETS, Endpoint

pytestmark = [pytest.mark.extras, pytest.mark.django_db(transaction=True)]

ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
PATH = "services/T0000000/token-of-the-receiver"
MANY_ATTEMPTS = """
    INSERT INTO lockstep_attempt
        (subscription_id, message_id, model, object_id, kind, seq, at, number, began, seconds, receipt)
    SELECT %s, gen_random_uuid(), 'blog.article', n::text, 'created', n, now(), 1, now(), 0.1, '{"type": "a"}'
    FROM generate_series(1, 5000) AS n;
    ANALYZE lockstep_attempt
"""
URL = f"https://hooks.example.com/{PATH}?key=of-the-receiver"


class Owner(Operator):
    """A user of the pages for owners, who is not staff."""

    def __init__(self, name: str, *, checks_csrf: bool = False) -> None:
        super().__init__(name, is_staff=False, checks_csrf=checks_csrf)

    def get(self, path: str = "", **query: object) -> Any:
        return self.client.get(f"/webhooks/{path}", query)

    def preview(self, path: str, **values: object) -> str:
        return self.client.post(f"/webhooks/{path}", values | {"step": "preview"}).content.decode()

    def confirm(self, path: str, page: str) -> Any:
        return self.client.post(f"/webhooks/{path}", confirmed_values(page))

    def post(self, path: str, **values: object) -> Any:
        return self.client.post(f"/webhooks/{path}", values | {"key": uuid4()})


@pytest.fixture
def operator() -> Operator:
    return Operator("olga", VIEW, OPERATE)


@pytest.fixture
def owner() -> Owner:
    return Owner("oskar")


@pytest.fixture
def endpoint(owner: Owner) -> Endpoint:
    return made_for(owner)


def made_for(owner: Operator, url: str = URL) -> Endpoint:
    return actions.create_endpoint(actor="", owner=owner.person, url=url, events=["blog.article.*"]).endpoint


def attempt(endpoint: Endpoint, message: UUID | None = None, **values: Any) -> Attempt:
    receipt = {
        "type": "blog.article.created",
        "request_headers": {"webhook-id": "1", "webhook-signature": "[redacted]"},
        "status": 404,
        "response_headers": {"location": f"/{PATH}"},
        "response": f"Cannot POST /{PATH}",
    }
    given = {
        "subscription_id": endpoint.subscription,
        "message_id": message or uuid4(),
        "model": "blog.article",
        "object_id": "1",
        "kind": "created",
        "seq": 1,
        "at": timezone.now(),
        "number": 1,
        "began": timezone.now(),
        "seconds": 0.1,
        "failure": "Rejected",
        "cause": "answered 404",
        "receipt": receipt,
    }
    return Attempt.objects.create(**given | values)


def logged_attempt(endpoint: Endpoint) -> Attempt:
    """An attempt whose change is in the log, and fanned out."""
    Article.objects.create(title="a")
    change = LoggedChange.objects.filter(model="blog.article").latest("seq")
    Subscription.objects.filter(pk=endpoint.subscription).update(state="active")
    return attempt(endpoint, object_id=change.object_id, seq=change.seq, at=change.at)


# --- All endpoints, for operators ---


def test_a_list_without_endpoints_says_whether_there_are_others(operator: Operator):
    assert "There are no endpoints yet" in operator.see("webhooks/")
    assert "No endpoint matches." in operator.see("webhooks/", host="other")


def test_the_list_has_the_endpoints_of_all_without_their_paths(operator: Operator, endpoint: Endpoint):
    page = operator.see("webhooks/")
    assert "https://hooks.example.com/…" in page and "oskar" in page and "blog.article.*" in page
    assert "token-of" not in page and "of-the-receiver" not in page
    assert 'aria-current="page">Webhooks' in page


def test_the_list_is_filtered_by_owner_host_and_state(operator: Operator, endpoint: Endpoint):
    other = made_for(Owner("olaf"), "https://other.example.org/")
    actions.switch_off(actor="", endpoint=other, reason="too loud")
    for query, found in (
        ({"owner": "olaf"}, {"other"}),
        ({"owner": str(endpoint.owner_id)}, {"hooks"}),
        ({"owner": "unknown"}, set()),
        ({"host": "EXAMPLE.org"}, {"other"}),
        ({"host": "token-of"}, set()),
        ({"state": "off"}, {"other"}),
        ({"state": "on"}, {"hooks"}),
        ({"state": "failing"}, set()),
        ({"state": "nothing"}, set()),
        ({"before": str(other.pk)}, {"hooks"}),
    ):
        page = operator.see("webhooks/", **query)
        assert {name for name in ("hooks", "other") if f"https://{name}.example" in page} == found, query


def test_the_list_is_paged(operator: Operator, owner: Owner):
    many(owner, 60)
    first = operator.see("webhooks/", host="example")
    [older] = re.findall(r'href="\?([^"]*)" rel="next"', first)
    second = operator.client.get(f"/console/webhooks/?{older.replace('&amp;', '&')}").content.decode()
    assert (first.count('class="url"'), second.count('class="url"')) == (50, 10)
    assert 'rel="next"' not in second and "host=example" in second


def many(owner: Owner, count: int) -> None:
    made = [Endpoint(owner=owner.person, url=f"https://h{n}.example.com/x", events=["*"]) for n in range(count)]
    Endpoint.objects.bulk_create(made)


def test_the_list_takes_the_same_queries_for_many(operator: Operator, owner: Owner, endpoint: Endpoint):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            operator.see("webhooks/")
        return len(captured)

    few = queries()
    many(owner, 40)
    assert queries() == few


def test_the_page_of_an_endpoint_tells_its_state_and_attempts(operator: Operator, endpoint: Endpoint):
    made = attempt(endpoint)
    attempt(endpoint, receipt={})  # interrupted by our own side
    Endpoint.objects.filter(pk=endpoint.pk).update(failing_since=timezone.now() - timedelta(hours=1))
    page = operator.see(f"webhooks/{endpoint.pk}/")
    assert "It takes nothing since" in page and "after 5 days of that it is switched off." in page
    assert "answered 404" in page and str(made.message_id) in page and page.count('class="attempt"') == 1
    assert "webhook-signature: [redacted]" in page and "Cannot POST [redacted]" in page
    assert "token-of" not in page and "of-the-receiver" not in page and "whsec_" not in page
    assert f'href="/console/subscriptions/{endpoint.subscription}/"' in page
    assert 'href="/console/objects/blog.article/1/"' in page
    assert "/rotate/" not in page and "/delete/" not in page


@pytest.mark.parametrize(
    "text",
    [
        f"Cannot POST /{PATH}",
        "no such key: of-the-receiver",
        "no such path: SERVICES/t0000000/TOKEN-of-the-receiver",
        f'{{"path": "\\/{PATH.replace("/", chr(92) + "/")}"}}',
        "a=1&amp;b=sig+nature/of-it",
        "b: sig nature/of-it",
    ],
)
def test_no_operator_reads_the_path_of_a_url_in_a_response(text: str, operator: Operator, owner: Owner):
    endpoint = made_for(owner, f"{URL}&a=1&b=sig+nature%2Fof-it")
    made = logged_attempt(endpoint)
    answered = {"type": "blog.article.created", "status": 404, "response_headers": {"location": text}, "response": text}
    Attempt.objects.filter(pk=made.pk).update(receipt=answered)
    change = LoggedChange.objects.get(seq=made.seq)
    letter = DeadLetter.objects.create(
        subscription_id=endpoint.subscription, model=made.model, object_id=made.object_id, seq=made.seq, at=change.at,
        message_id=made.message_id, attempts=1, cause="answered 404",
    )  # fmt: skip
    for path in (f"webhooks/{endpoint.pk}/", f"dead-letters/{letter.pk}/"):
        page = operator.see(path)
        assert page.count("[redacted]") >= 2, path
        assert "of-the-receiver" not in page.lower() and "of-it" not in page, path


def test_no_operator_reads_a_response_of_an_earlier_url(operator: Operator, owner: Owner, endpoint: Endpoint):
    for url, response in ((URL, f"Cannot POST /{PATH}"), ("https://hooks.example.com/new", "Not today")):
        receipt = {"type": "blog.article.created", "status": 404, "response_headers": {}, "response": response}
        attempt(endpoint, receipt=receipt | {URL_HASH: url_hash(url)})
    actions.update_endpoint(actor="", endpoint=endpoint, url="https://hooks.example.com/new")
    page = operator.see(f"webhooks/{endpoint.pk}/")
    assert page.count('class="attempt"') == 2 and "Not today" in page
    assert "token-of" not in page and url_hash(URL) not in page
    assert f"Cannot POST /{PATH}" in owner.get(f"{endpoint.pk}/").content.decode()


def test_attempts_are_paged_and_filtered(operator: Operator, endpoint: Endpoint):
    attempt(endpoint, failure=None, cause=None)
    for _ in range(20):
        attempt(endpoint)
    page = operator.see(f"webhooks/{endpoint.pk}/")
    [older] = re.findall(r'href="([^"]*)" rel="next"', page)
    assert page.count('class="attempt"') == 20
    assert operator.client.get(older).content.decode().count('class="attempt"') == 1
    failed = operator.see(f"webhooks/{endpoint.pk}/", failed="on")
    assert failed.count('class="attempt"') == 20 and 'rel="next"' not in failed


def test_failed_attempts_are_found_by_an_index_of_their_own(operator: Operator, endpoint: Endpoint):
    """A subscription of which none failed is not read as a whole; the API has the same filters."""
    with connection.cursor() as cursor:
        cursor.execute(MANY_ATTEMPTS, [endpoint.subscription])
    assert "lockstep_attempt_failed" in used_indexes(queries_of(operator, f"webhooks/{endpoint.pk}/", {"failed": "on"}))


def test_stored_texts_are_escaped(operator: Operator, owner: Owner, endpoint: Endpoint):
    receipt = {"type": ATTACK, "request_headers": {"a": ATTACK}, "status": 500, "response": ATTACK}
    attempt(endpoint, cause=ATTACK, receipt=receipt | {"response_headers": {"server": ATTACK}})
    Endpoint.objects.filter(pk=endpoint.pk).update(description=ATTACK, events=[ATTACK], reason=ATTACK)
    for disabled in (None, timezone.now()):
        Endpoint.objects.filter(pk=endpoint.pk).update(disabled=disabled)
        for page in (
            operator.see("webhooks/"),
            operator.see(f"webhooks/{endpoint.pk}/"),
            owner.see(""),
            owner.see(f"{endpoint.pk}/"),
            owner.see(f"{endpoint.pk}/change/"),
        ):
            assert "<script>alert" not in page and "<img" not in page and "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    "path",
    [
        "webhooks/?before=x",
        "webhooks/?state=x&owner=%00",
        "webhooks/?owner=99999999999999999999999999",
        "webhooks/?host=%FF",
        "webhooks/{key}/?before=1",
        "webhooks/{key}/?failed=maybe",
        "webhooks/{key}/resend/?message_id=x",
        "webhooks/{key}/off/?reason=%00",
        "webhooks/00000000-0000-0000-0000-000000000000/",
        "webhooks/00000000-0000-0000-0000-000000000000/test/",
    ],
)
def test_junk_is_refused_without_an_error(operator: Operator, owner: Owner, endpoint: Endpoint, path: str):
    assert operator.client.get(f"/console/{path.format(key=endpoint.pk)}").status_code in (200, 404)
    assert owner.client.get(f"/{path.format(key=endpoint.pk)}").status_code in (200, 404)


# --- What operators do ---


def test_a_test_is_previewed_sent_once_and_recorded(operator: Operator, endpoint: Endpoint):
    path = f"webhooks/{endpoint.pk}/test/"
    page = operator.see(path)
    assert "webhooks.test.created is sent to https://hooks.example.com/…" in page
    for _ in range(2):
        assert operator.confirm(path, page)["Location"] == f"/console/webhooks/{endpoint.pk}/"
    [sent] = LoggedChange.objects.filter(model="webhooks.test")
    [done] = Operation.objects.all()
    actor = f"user:{operator.person.pk}"
    assert (sent.actor, sent.object_id) == (actor, str(endpoint.pk))
    assert (done.kind, done.actor, done.subscription) == ("webhook-test", actor, endpoint.subscription)


def test_a_message_is_sent_again(operator: Operator, endpoint: Endpoint):
    made = logged_attempt(endpoint)
    path = f"webhooks/{endpoint.pk}/resend/"
    link = f"/console/{path}?message_id={made.message_id}"
    assert link in operator.see(f"webhooks/{endpoint.pk}/")
    page = operator.client.get(link).content.decode()
    assert f"Message {made.message_id}" in page and "failed (answered 404)" in page
    done = operator.client.get(operator.confirm(path, page)["Location"]).content.decode()
    assert "will be sent again" in done
    assert Operation.objects.get().parameters == {"message_id": str(made.message_id)}
    unknown = operator.preview(path, message_id=uuid4())
    assert "is still kept" in unknown and 'name="key"' not in unknown


def test_an_endpoint_is_switched_off_for_a_reason_and_on_again(operator: Operator, owner: Owner, endpoint: Endpoint):
    page = operator.do(f"webhooks/{endpoint.pk}/off/", reason="too loud.")
    assert "Switched off." in page and "switched off by an operator: too loud." in page
    endpoint.refresh_from_db()
    assert endpoint.disabled and Subscription.objects.get(pk=endpoint.subscription).state == "disabled"
    assert "switched off by an operator: too loud." in owner.see(f"{endpoint.pk}/")
    for action in ("test", "resend", "off"):
        values = {"message_id": uuid4(), "reason": "again"}
        assert 'name="key"' not in operator.preview(f"webhooks/{endpoint.pk}/{action}/", **values), action
    assert "Switched on" in operator.do(f"webhooks/{endpoint.pk}/on/")
    endpoint.refresh_from_db()
    assert endpoint.disabled is None
    done = [(each.kind, each.by_owner) for each in Operation.objects.order_by("at")]
    assert done == [("webhook-off", False), ("webhook-on", False)]


def test_an_endpoint_whose_subscription_was_removed_is_switched_on_anew(operator: Operator, endpoint: Endpoint):
    Subscription.objects.filter(pk=endpoint.subscription).delete()
    page = operator.see(f"webhooks/{endpoint.pk}/")
    assert "Lost" in page and "Switch on anew" in page
    assert "switch it on anew" in operator.see(f"webhooks/{endpoint.pk}/test/")
    operator.do(f"webhooks/{endpoint.pk}/on/")
    assert Subscription.objects.filter(pk=endpoint.subscription).exists()


def test_a_deleted_endpoint_is_not_there(operator: Operator, owner: Owner, endpoint: Endpoint):
    actions.delete_endpoint(actor="", endpoint=endpoint)
    assert operator.get(f"webhooks/{endpoint.pk}/").status_code == 404
    assert operator.post(f"webhooks/{endpoint.pk}/test/").status_code == 404
    assert owner.get(f"{endpoint.pk}/").status_code == 404


ACTIONS = ("test", "resend", "off", "on")


def test_viewers_see_and_do_not_act(endpoint: Endpoint):
    viewer = Operator("vera", VIEW)
    page = viewer.see(f"webhooks/{endpoint.pk}/")
    assert "Send a test" not in page
    for action in ACTIONS:
        path = f"webhooks/{endpoint.pk}/{action}/"
        assert (viewer.get(path).status_code, viewer.post(path).status_code) == (403, 403)
    assert not Operation.objects.exists()


def test_owners_are_no_operators(owner: Owner, endpoint: Endpoint):
    for path in ("", f"{endpoint.pk}/", *(f"{endpoint.pk}/{action}/" for action in ACTIONS)):
        assert owner.client.get(f"/console/webhooks/{path}").status_code == 403


# --- Their own, for owners ---

OWN_ACTIONS = ("change", "delete", "off", "on", "redeliver", "resend", "rotate", "test")
OWN_PAGES = ("", "new/", "{key}/", *(f"{{key}}/{action}/" for action in OWN_ACTIONS))


@pytest.mark.parametrize("page", OWN_PAGES)
def test_who_is_not_signed_in_is_sent_to_the_form_and_back(endpoint: Endpoint, page: str):
    path = f"/webhooks/{page.format(key=endpoint.pk)}"
    for response in (Client().get(path), Client().post(path)):
        if response.status_code != 405:
            assert response.status_code == 302
            assert response["Location"] == f"/accounts/login/?next={path}"


@pytest.mark.parametrize("page", [page for page in OWN_PAGES if "{key}" in page])
def test_endpoints_of_others_do_not_exist(endpoint: Endpoint, page: str):
    path = page.format(key=endpoint.pk)
    others = (Owner("olaf"), Operator("stan", VIEW, OPERATE))  # staff have their own here, too
    for other in others:
        answers = [other.client.get(f"/webhooks/{path}"), other.client.post(f"/webhooks/{path}", {"key": uuid4()})]
        assert {answer.status_code for answer in answers} <= {404, 405}
        assert b"hooks.example.com" not in b"".join(answer.content for answer in answers)
        assert "hooks.example.com" not in other.client.get("/webhooks/").content.decode()
    assert Endpoint.objects.alive().filter(pk=endpoint.pk, disabled=None).exists()


@pytest.mark.parametrize("page", OWN_PAGES)
def test_own_pages_have_the_strictest_headers_and_nothing_inline(owner: Owner, endpoint: Endpoint, page: str):
    response = owner.get(page.format(key=endpoint.pk))
    assert response.status_code == 200
    assert response["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert (response["X-Frame-Options"], response["Cache-Control"]) == ("DENY", "no-store")
    text = response.content.decode()
    assert not re.search(r"\sstyle\s*=|<style|\son\w+\s*=|javascript:|<script(?![^>]*\ssrc=)", text)
    assert "/console/" not in text and "/admin/" not in re.sub(r"/static/admin/", "", text)


def test_an_endpoint_is_created_and_its_secret_shown_once(owner: Owner):
    values = {"url": "https://example.com/hook", "events": "blog.article.*\nblog.article.created"}
    page = owner.preview("new/", **values, description="mine")
    assert "Changes from now on are sent to https://example.com/hook." in page
    assert not Endpoint.objects.exists()
    shown = owner.confirm("new/", page)
    [secret] = set(re.findall(r"whsec_[A-Za-z0-9+/=]+", shown.content.decode()))
    endpoint = Endpoint.objects.get()
    assert (endpoint.owner_id, endpoint.events) == (owner.person.pk, ["blog.article.*", "blog.article.created"])
    assert decrypt(SECRETS, bytes(endpoint.secret)).decode() == secret
    assert shown["Cache-Control"] == "no-store"
    repeated = owner.confirm("new/", page)
    assert (repeated.status_code, Endpoint.objects.count()) == (302, 1)
    everything = owner.see("") + owner.see(f"{endpoint.pk}/") + repr(list(Operation.objects.values()))
    assert "whsec_" not in everything and "example.com/hook" not in repr(list(Operation.objects.values()))
    done = Operation.objects.get()
    assert (done.actor, done.by_owner) == (f"user:{owner.person.pk}", True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"url": "http://example.com/"}, "begins with https://"),
        ({"url": "https://user:password@example.com/"}, "Must not have a user or password"),
        ({"url": "https://127.0.0.1/"}, "127.0.0.1"),
        ({"url": "https://example.com/#a"}, "fragment"),
        ({"events": "blog.nothing.*"}, "No event type that you may see"),
        ({"events": "people.person.*"}, "No event type that you may see"),
        ({"description": "d" * 501}, "500"),
        ({"url": "https://example.com/" + "a" * 2_000}, "2000"),
        ({"url": ""}, "required"),
        ({"events": " "}, "required"),
        ({"url": "a\0"}, "Null characters"),
    ],
)
def test_a_form_has_the_rules_of_the_api(owner: Owner, values: dict[str, str], words: str):
    given = {"url": "https://example.com/", "events": "blog.article.*"} | values
    response = owner.post("new/", **given)
    page = response.content.decode()
    assert response.status_code == 400 and 'name="key"' not in page
    assert words in page, page
    assert not Endpoint.objects.exists()


def test_a_user_has_no_more_endpoints_than_by_the_api(owner: Owner, settings: Any):
    settings.LOCKSTEP = settings.LOCKSTEP | {"WEBHOOKS_PER_USER": 1}
    values = {"url": "https://example.com/", "events": "*"}
    page = owner.preview("new/", **values)
    made_for(owner)
    assert "You have 1 endpoints already" in owner.preview("new/", **values)
    refused = owner.client.get(owner.confirm("new/", page)["Location"]).content.decode()
    assert "You have 1 endpoints already" in refused
    assert Endpoint.objects.count() == 1


def test_an_endpoint_is_changed_unless_it_was_changed_meanwhile(owner: Owner, endpoint: Endpoint):
    path = f"{endpoint.pk}/change/"
    assert URL in owner.see(path)
    values = {"url": "https://new.example.com/", "events": "*", "description": "", "version": endpoint.version}
    page = owner.preview(path, **values)
    assert f"Its URL will be https://new.example.com/, instead of {URL.replace('&', '&amp;')}." in page
    Endpoint.objects.filter(pk=endpoint.pk).update(description="changed elsewhere")
    refused = owner.client.get(owner.confirm(path, page)["Location"]).content.decode()
    assert "changed since you read it" in refused
    endpoint.refresh_from_db()
    assert endpoint.url == URL
    page = owner.preview(path, **values | {"version": endpoint.version})
    assert owner.confirm(path, page).status_code == 302
    endpoint.refresh_from_db()
    assert (endpoint.url, endpoint.events, endpoint.description) == ("https://new.example.com/", ["*"], "")
    unchanged = owner.preview(path, **values | {"version": endpoint.version})
    assert "Nothing differs" in unchanged and 'name="key"' not in unchanged


def test_a_secret_is_rotated_and_shown_to_its_owner_once(owner: Owner, endpoint: Endpoint):
    path = f"{endpoint.pk}/rotate/"
    page = owner.see(path)
    assert "For 24 hours the old one signs as well" in page
    shown = owner.confirm(path, page).content.decode()
    [secret] = set(re.findall(r"whsec_[A-Za-z0-9+/=]+", shown))
    endpoint.refresh_from_db()
    assert decrypt(SECRETS, bytes(endpoint.secret)).decode() == secret and len(endpoint.old_secrets) == 1
    assert owner.confirm(path, page).status_code == 302
    endpoint.refresh_from_db()
    assert len(endpoint.old_secrets) == 1
    for _ in range(3):
        owner.confirm(path, owner.see(path))
    refused = owner.client.get(owner.confirm(path, owner.see(path))["Location"]).content.decode()
    assert "old secrets of this endpoint are still valid" in refused and "whsec_" not in refused


def test_owners_test_switch_and_delete_their_endpoints(owner: Owner, endpoint: Endpoint):
    assert "The test will be sent" in done(owner, f"{endpoint.pk}/test/")
    assert LoggedChange.objects.get(model="webhooks.test").actor == f"user:{owner.person.pk}"
    assert "Off since" in done(owner, f"{endpoint.pk}/off/")
    endpoint.refresh_from_db()
    assert endpoint.reason == actions.SWITCHED_OFF
    assert "Switched on" in done(owner, f"{endpoint.pk}/on/")
    page = done(owner, f"{endpoint.pk}/delete/")
    assert "The endpoint is deleted." in page and "You have no endpoint yet." in page
    assert not Endpoint.objects.alive().exists()


def done(owner: Owner, path: str) -> str:
    response = owner.confirm(path, owner.see(path))
    return str(owner.client.get(response["Location"]).content.decode())


def test_owners_send_messages_again(owner: Owner, endpoint: Endpoint):
    assert "None was given up. Nothing is sent." in done(owner, f"{endpoint.pk}/redeliver/")
    made = logged_attempt(endpoint)
    page = owner.client.get(f"/webhooks/{endpoint.pk}/resend/?message_id={made.message_id}").content.decode()
    assert owner.confirm(f"{endpoint.pk}/resend/", page).status_code == 302
    other = attempt(made_for(Owner("olaf")))
    assert "is still kept" in owner.preview(f"{endpoint.pk}/resend/", message_id=other.message_id)
    assert not DeadLetter.objects.exists() and Delivery.objects.count() <= 1


def test_owners_see_what_their_receiver_answered(owner: Owner, endpoint: Endpoint):
    attempt(endpoint)
    page = owner.see(f"{endpoint.pk}/")
    assert f"Cannot POST /{PATH}" in page and URL in page


def test_forms_of_owners_need_their_token(endpoint: Endpoint):
    careless = Owner("carl", checks_csrf=True)
    own = made_for(careless)
    for path in ("new/", "sign-out/", *(f"{own.pk}/{action}/" for action in OWN_ACTIONS)):
        assert careless.post(path).status_code == 403
    assert Endpoint.objects.alive().filter(pk=own.pk, disabled=None).exists()


def test_signing_out(owner: Owner):
    assert 'action="/webhooks/sign-out/"' in owner.see("")
    response = owner.client.post("/webhooks/sign-out/")
    assert (response.status_code, response["Location"]) == (302, "/accounts/login/?next=/webhooks/")
    assert owner.get().status_code == 302


def test_an_account_that_was_deactivated_meanwhile_does_nothing(owner: Owner, endpoint: Endpoint):
    page = owner.see(f"{endpoint.pk}/delete/")
    type(owner.person).objects.filter(pk=owner.person.pk).update(is_active=False)
    assert owner.confirm(f"{endpoint.pk}/delete/", page).status_code == 302
    assert Endpoint.objects.alive().exists()


def test_owners_have_the_limit_of_the_api(owner: Owner, settings: Any, monkeypatch: pytest.MonkeyPatch):
    limiter = rate_limit.FixedWindowLimiter()
    monkeypatch.setattr("lockstep.console.views.own_webhooks.limiter", limiter)
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_RATE_LIMIT": 2}
    answers = [owner.get() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2]["Retry-After"] and answers[2]["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_origin_of_a_url():
    assert origin_of("https://a.example:8443/") == "https://a.example:8443"
    assert origin_of("https://a.example?key=1") == "https://a.example/…"
    assert origin_of("https://a.example/b") == "https://a.example/…"


def test_staff_without_the_right_have_their_own_pages():
    clerk = signed_in(person("clerk"))
    assert clerk.get("/webhooks/").status_code == 200
    assert clerk.get("/console/webhooks/").status_code == 403


def test_a_project_without_webhooks_has_no_such_section(monkeypatch: pytest.MonkeyPatch):
    def names() -> set[str]:
        return {pattern.name for pattern in importlib.reload(urls).urlpatterns}

    with monkeypatch.context() as patched:
        patched.setattr(apps, "is_installed", lambda name: name != "lockstep.webhooks")
        without = names()
    assert names() - without == {"webhooks", "webhook", *(f"webhook_{action}" for action in ACTIONS)}


def test_attempts_take_the_same_queries_for_many(operator: Operator, endpoint: Endpoint):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            operator.see(f"webhooks/{endpoint.pk}/")
        return len(captured)

    attempt(endpoint)
    few = queries()
    for _ in range(10):
        attempt(endpoint)
    assert queries() == few
