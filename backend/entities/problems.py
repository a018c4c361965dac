"""The problem types of this service, and its own words for two of the engine's."""

from lockstep.rest.problems import add_problem

OAUTH_REFUSED = add_problem(
    "oauth-refused",
    400,
    "OAuth 2 refused the request",
    "`error` has its code (RFC 6749): `invalid_grant` is a wrong name or password, or a token that is used or expired.",
)
UNAUTHENTICATED = add_problem(
    "unauthenticated",
    401,
    "Authentication required",
    "Send `Authorization: Bearer <token>`. A token that was valid has expired or was revoked: refresh it, or sign in.",
)
INSUFFICIENT_STOCK = add_problem(
    "insufficient-stock",
    409,
    "Insufficient stock",
    "Nothing was ordered. `lines` has `{product, asked, available}` for each product: order less.",
)
UNSUPPORTED_MEDIA_TYPE = add_problem(
    "unsupported-media-type",
    415,
    "Unsupported media type",
    "Send JSON, with `Content-Type: application/json`; the OAuth 2 routes take a form.",
)
