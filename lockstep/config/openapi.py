"""The OpenAPI description's own settings; api/schema.py makes it."""

from typing import Any

from lockstep.version import VERSION

DESCRIPTION = """\
Lockstep owns its data and keeps the systems around it in step with it.

**Signing in.** Send `Authorization: Bearer <token>`. There are three doors to a token: `POST /auth/` gives an opaque
one, `POST /api/v1/auth/token/` a pair of JSON Web Tokens, `POST /oauth/token/` a pair by OAuth 2.

**Problems.** Every error is `application/problem+json` (RFC 9457), also where it is not listed: 404 for an address that
nothing is at, 405 for a method that an address does not take, 500 for a mistake of ours. `type` is an address on this
server that says what to do. `errors` names each field to mend. At `/oauth/token/` and `/oauth/revoke_token/` the same
members come as `application/json`, as RFC 6749 wants it.

**Sending again.** A POST with an `Idempotency-Key` is carried out once, however often it is sent.

**Together with others.** An object with an `ETag` is changed with `If-Match`: who was second gets 412, and nothing is
lost.

**Queries.** A query parameter that an operation does not have, that is sent twice or that is impossible is 400, and
`errors` names it. An empty one is refused, too, unless its description says what it means. `next` and `previous` of a
list lead to the other pages; a page ends after `limit` rows, or before it would have more than 1 MB of them.

**Bodies.** A whole number may be a string of digits. A text is kept as it is sent. A read-only field may be sent back
with the value that the object has; a new object takes none.

**Addresses** are the same with and without the slash at their end.
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
        "lockstep.api.schema.order_paths",
        "lockstep.api.schema.add_shared",
    ],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "ProductState": "lockstep.shop.machines.PRODUCT_STATES",
        "OrderState": "lockstep.shop.machines.ORDER_STATES",
        "RatingType": "lockstep.movies.models.Rating.Type",
    },
    "TAGS": [
        {"name": "signing in", "description": "Three doors to a bearer token, and the way out."},
        {"name": "people", "description": "Accounts, profiles, and who follows whom."},
        {"name": "posts", "description": "Posts and comments, in the shape of their provider."},
        {"name": "shop", "description": "Products and their tags, bags and orders."},
        {"name": "defects", "description": "What is wrong, and who said so; a counter hears of it."},
        {"name": "movies", "description": "Somebody else's catalogue, searched here, and what users think of it."},
        {"name": "webhooks", "description": "Being told of changes by HTTP (Standard Webhooks)."},
        {"name": "changes", "description": "The change log: as a list, live, and the history of one object."},
        {"name": "operations", "description": "For whoever looks after the system, and these pages."},
    ],
}
# The system that the views of a module are a part of.
SCHEMA_TAGS = {
    "lockstep.accounts.doors": "signing in",
    "lockstep.accounts.views": "people",
    "lockstep.posts.views": "posts",
    "lockstep.shop.views": "shop",
    "lockstep.compat.shop": "shop",
    "lockstep.defects.views": "defects",
    "lockstep.movies.views": "movies",
    "lockstep.webhooks.views": "webhooks",
    "lockstep.feed.views": "changes",
    "lockstep.api.health": "operations",
    "lockstep.api.pages": "operations",
}
# Routes of the predecessors, and the canonical ones: those are described after these, and as deprecated.
SCHEMA_DEPRECATED = {
    "/api/defects/": "/api/v1/defects/",
    "/api/order/": "/api/v1/orders/",
    "/api/product/": "/api/v1/products/",
    "/api/register/": "/api/v1/users/register/",
    "/api/token/": "/api/v1/auth/token/",
}
