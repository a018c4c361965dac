"""The OpenAPI description's own settings; rest/schema.py makes it."""

from typing import Any

from lockstep.version import VERSION

DESCRIPTION = """\
Lockstep owns its data and keeps the systems around it in step with it.

**Signing in.** Send `Authorization: Bearer <token>`. Three endpoints issue tokens: `POST /auth/` an opaque one,
`POST /api/v1/auth/token/` a pair of JSON Web Tokens, `POST /oauth/token/` a pair by OAuth 2.

**Problems.** Every error is `application/problem+json` (RFC 9457), also where it is not listed: 404 for an unknown
path, 405 for a method that a path does not support, 500 for an error of the server. `type` is a URL on this server that
says what to do. `errors` names each invalid field. At `/oauth/token/` and
`/oauth/revoke_token/` errors have the same members, and are `application/json`, as RFC 6749 requires.

**Retries.** A POST with an `Idempotency-Key` is carried out once, however often it is sent.

**Concurrent changes.** Send the `ETag` of an object as `If-Match` when you change it: if it has changed since you read
it, the response is 412, and no change is lost.

**Queries.** A query parameter that an operation does not have, that is sent twice or that is impossible is 400, and
`errors` names it. An empty one is refused, too, unless its description says what it means. `next` and `previous` of a
list lead to the other pages; a page ends after `limit` rows, or before it would have more than 1 MB of them.

**Bodies.** A whole number may be a string of digits. A text is stored as it is sent, composed (NFC). A read-only field
may be sent back with the value that the object has; a new object takes none.

**Amounts** of money are texts with two decimal places, such as `"249.90"`. **Times** are in UTC.

**Users** are named by their `id`, in defects and at outside systems by their `number`. `GET /api/v1/users/{key}/` takes
either.

**Paths** work with and without a trailing slash.

**Webhooks.** `webhooks` has the message of each event type. An endpoint receives those that its owner may read.
"""
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Lockstep",
    "VERSION": VERSION,
    "DESCRIPTION": DESCRIPTION,
    "OAS_VERSION": "3.1.1",
    "SERVERS": [{"url": "/", "description": "The server that this description comes from."}],
    "COMPONENT_SPLIT_REQUEST": True,
    "SORT_OPERATION_PARAMETERS": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "lockstep.rest.schema.order_paths",
        "lockstep.rest.schema_components.add_shared",
        "lockstep.webhooks.schema.add_webhooks",
    ],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "ProductState": "backend.shop.states.machines.PRODUCT_STATES",
        "OrderState": "backend.shop.states.machines.ORDER_STATES",
        "RatingType": "backend.movies.models.Rating.Type",
    },
    "TAGS": [
        {"name": "signing in", "description": "Issuing, refreshing and revoking tokens."},
        {"name": "people", "description": "Accounts, profiles and followers."},
        {"name": "posts", "description": "Posts and comments, in the format of JSONPlaceholder."},
        {"name": "shop", "description": "Products and their tags, bags and orders."},
        {"name": "defects", "description": "Defects that users report; an external counter is notified of each."},
        {"name": "movies", "description": "The catalogue of a provider, with search and ratings."},
        {"name": "webhooks", "description": "Changes sent to your HTTP endpoints (Standard Webhooks)."},
        {"name": "changes", "description": "The change log: as a list, live, and the history of one object."},
        {"name": "operations", "description": "Health, metrics, and the pages of this description."},
    ],
}
# The system that the views of a module are a part of.
SCHEMA_TAGS = {
    "backend.accounts.sign_in_views": "signing in",
    "backend.accounts.views": "people",
    "backend.posts.views": "posts",
    "backend.shop.catalogue.views": "shop",
    "backend.shop.orders.views": "shop",
    "backend.shop.payments.views": "shop",
    "backend.shop.states.views": "shop",
    "backend.compat.shop": "shop",
    "backend.defects.views": "defects",
    "backend.movies.views": "movies",
    "lockstep.webhooks.views": "webhooks",
    "lockstep.feed.views": "changes",
    "lockstep.rest.probes": "operations",
    "lockstep.rest.problem_views": "operations",
    "lockstep.rest.schema_views": "operations",
}
# Routes of the predecessors, and the canonical ones: those are described after these, and as deprecated.
SCHEMA_DEPRECATED = {
    "/api/defects/": "/api/v1/defects/",
    "/api/order/": "/api/v1/orders/",
    "/api/product/": "/api/v1/products/",
    "/api/register/": "/api/v1/users/register/",
    "/api/token/": "/api/v1/auth/token/",
}
