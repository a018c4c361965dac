"""The admin refuses what cannot be with 400 or a message, and never fails."""

import pytest
from django.test import Client

from tests.support import Cast

pytestmark = pytest.mark.django_db
LISTS = (
    "accounts/user",
    "shop/product",
    "shop/tag",
    "shop/order",
    "posts/post",
    "posts/comment",
    "oauth2_provider/application",
    "lockstep_webhooks/endpoint",
)


@pytest.fixture
def admin(cast: Cast) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(cast.staff.user)
    return client


@pytest.mark.parametrize("page", LISTS)
@pytest.mark.parametrize("chosen", ["zzz", "", "1", "\0", "\U0001f980"])
@pytest.mark.parametrize(
    "action", ["delete_selected", "end_orders", "end_orders_unanswered", "revoke_tokens", "switch_off"]
)
def test_an_action_on_missing_objects_is_no_500(admin: Client, page: str, chosen: str, action: str):
    answer = admin.post(f"/admin/{page}/", {"action": action, "_selected_action": chosen})
    assert answer.status_code in (200, 302, 400)


@pytest.mark.parametrize("page", LISTS)
@pytest.mark.parametrize(
    "query",
    [
        "created__year=99999999",
        "number__range=1",
        "name__regex=(",
        "name__unaccent=x",
        "state__exact=%00",
        "id__exact=x",
    ],
)
def test_a_filter_that_cannot_be(admin: Client, page: str, query: str):
    assert admin.get(f"/admin/{page}/?{query}").status_code in (200, 302, 400)


def test_completion_of_nul(admin: Client):
    query = "term=%00&app_label=shop&model_name=product&field_name=owner"
    assert admin.get(f"/admin/autocomplete/?{query}").status_code in (200, 400, 403, 404)
