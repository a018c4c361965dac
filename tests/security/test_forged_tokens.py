"""More than a thousand bearer tokens that open nothing, made from ones that do."""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.conf import settings
from django.test import Client
from django.utils import timezone

from backend.accounts import sessions, signed
from backend.accounts.development import ensure_client
from backend.accounts.models import Session, Token, User
from lockstep.rest import rate_limit
from lockstep.rest.encryption import derived_key
from lockstep.rest.middleware import MAX_HEADER

pytestmark = pytest.mark.django_db

ME, REFRESH = "/api/v1/users/me/", "/api/v1/auth/refresh/"
MIN_FORGERIES = 1_000
CLIENT = Client(raise_request_exception=False)  # one for all: a new one sets the middleware up anew
HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
Variants = Iterator[tuple[str, str]]  # what it is, and the whole Authorization header
Claims = dict[str, Any]


@pytest.fixture(autouse=True)
def limits(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand wrong tokens of one address would be too many; that they are is tested in test_api_conventions.py."""
    monkeypatch.setattr("lockstep.rest.views.limiter", rate_limit.FixedWindowLimiter())
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_RATE_LIMIT": 1_000_000}


@dataclass(frozen=True)
class Genuine:
    """Tokens that are in order: of the owner, and of an outsider."""

    opaque: str
    access: str
    refresh: str
    oauth: str
    oauth_refresh: str
    other: str  # the outsider's access token

    @property
    def opening(self) -> dict[str, str]:
        return {"opaque": self.opaque, "signed": self.access, "oauth": self.oauth}

    @property
    def claims(self) -> Claims:
        return claims_of(self.access)


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create_user("owner", "owner@example.com", password="owner-password")


@pytest.fixture
def genuine(owner: User, client: Client) -> Genuine:
    pair, oauth = sessions.open_pair(owner), oauth_tokens(client)
    other = sessions.open_pair(User.objects.create_user("outsider"))
    opaque = sessions.open_opaque(owner)
    return Genuine(opaque, pair.access, pair.refresh, oauth["access_token"], oauth["refresh_token"], other.access)


def oauth_tokens(client: Client) -> dict[str, str]:
    ensure_client()
    form = {"grant_type": "password", "client_id": "lockstep-dev", "username": "owner", "password": "owner-password"}
    content_type = "application/x-www-form-urlencoded"
    return client.post("/oauth/token/", urlencode(form), content_type=content_type).json()


# --- Making tokens ----------------------------------------------------------------------------------------


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims_of(token: str) -> Claims:
    return json.loads(decoded(token.split(".")[1]))


def part(value: object) -> str:
    return encoded(json.dumps(value).encode())


def our_key() -> bytes:
    return derived_key(signed.PURPOSE, settings.SECRET_KEY)


def made(claims: object, key: bytes, header: Mapping[str, Any] | None = None, digest: str = "sha256") -> str:
    """Signed by hand: libraries refuse to make most of what is needed here."""
    signing_input = f"{part({'alg': 'HS256', 'typ': 'JWT', **(header or {})})}.{part(claims)}"
    return f"{signing_input}.{encoded(hmac.digest(key, signing_input.encode(), digest))}"


def as_bytes(text: str) -> str:
    """As a web server hands over what is not ASCII: its bytes, as Latin-1."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


# --- Kinds of forgery -------------------------------------------------------------------------------------


TWO_ALGS = encoded(b'{"alg":"none","alg":"HS256"}')


def unsigned(genuine: Genuine) -> Variants:
    spellings = (
        "none",
        "None",
        "NONE",
        "nOnE",
        "noNe",
        "none ",
        " none",
        "none\0",
        "n\u043ene",
        "null",
        "",
        "alg",
        "HS0",
    )
    header, _, signature = genuine.access.split(".")
    for algorithm in (*spellings, None, 0, False, [], ["none"], {}, {"none": 1}):
        for kind, end in (("no", ""), ("its own", signature), ("a made-up", "AAAA")):
            head = part({"alg": algorithm, "typ": "JWT"})
            yield f"alg {algorithm!r} with {kind} signature", f"Bearer {head}.{part(genuine.claims)}.{end}"
    yield "no alg at all", f"Bearer {part({'typ': 'JWT'})}.{part(genuine.claims)}.{signature}"
    yield "two algs", f"Bearer {TWO_ALGS}.{part(genuine.claims)}.{signature}"
    yield "no header", f"Bearer .{part(genuine.claims)}.{signature}"
    yield "no claims", f"Bearer {header}..{signature}"


def guessed_keys() -> dict[str, bytes]:
    secret = settings.SECRET_KEY.encode()
    words = (
        "secret",
        "password",
        "changeme",
        "lockstep",
        "django",
        "key",
        "your-256-bit-secret",
        "1234",
        signed.PURPOSE,
    )
    purposes = ("", "lockstep webhook secrets", "lockstep idempotency", "lockstep tries", "lockstep json web token")
    return {
        "empty": b"",
        "zeros": bytes(32),
        "SECRET_KEY": secret,
        "its SHA-256": hashlib.sha256(secret).digest(),
        "its SHA-256 in hex": hashlib.sha256(secret).hexdigest().encode(),
        "it with the purpose": secret + signed.PURPOSE.encode(),
        "an HMAC of it": hmac.digest(secret, signed.PURPOSE.encode(), "sha256"),
        "our key in hex": our_key().hex().encode(),
        "our key in base64": base64.b64encode(our_key()),
        "half of our key": our_key()[:16],
        "our key and more": our_key() + b"\x01",
        **{f"the word {word!r}": word.encode() for word in words},
        **{f"our key for {purpose!r}": derived_key(purpose, settings.SECRET_KEY) for purpose in purposes},
        "our key of another SECRET_KEY": derived_key(signed.PURPOSE, settings.SECRET_KEY + "x"),
        "our key of an empty SECRET_KEY": derived_key(signed.PURPOSE, ""),
    }


def wrong_keys(genuine: Genuine) -> Variants:
    for name, key in guessed_keys().items():
        for algorithm, digest in HASHES.items():
            yield f"{algorithm} with {name}", f"Bearer {made(genuine.claims, key, {'alg': algorithm}, digest)}"


def confused_algorithms(genuine: Genuine) -> Variants:
    rsa_key, ec_key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    ed_key = ed25519.Ed25519PrivateKey.generate()
    keys = {"RS256": rsa_key, "RS384": rsa_key, "RS512": rsa_key, "PS256": rsa_key, "ES256": ec_key, "EdDSA": ed_key}
    for algorithm, key in keys.items():
        yield f"{algorithm} of their own", f"Bearer {jwt.encode(genuine.claims, key, algorithm=algorithm)}"
    formats = [(serialization.Encoding.PEM, "PEM"), (serialization.Encoding.DER, "DER")]
    for kind, key in {"RSA": rsa_key, "EC": ec_key, "Ed25519": ed_key}.items():
        for encoding, name in formats:
            public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
            for algorithm, digest in HASHES.items():
                token = made(genuine.claims, public, {"alg": algorithm}, digest)
                yield f"{algorithm} with an {kind} public key as {name}", f"Bearer {token}"
    for algorithm, digest in {**HASHES, "RS256": "sha256", "none": "sha256", "hs256": "sha256"}.items():
        if algorithm != "HS256":  # the algorithm of our signatures
            yield f"our key under {algorithm}", f"Bearer {made(genuine.claims, our_key(), {'alg': algorithm}, digest)}"


def keys_in_the_header(genuine: Genuine) -> Variants:
    theirs = b"a key that the attacker chose, long enough"
    jwk = {"kty": "oct", "k": encoded(theirs), "alg": "HS256"}
    address = "https://evil.example.com/keys"
    headers: list[dict[str, Any]] = [
        {"jwk": jwk},
        {"jwk": json.dumps(jwk)},
        {"jku": address},
        {"jku": "http://169.254.169.254/"},
        {"jku": "file:///etc/passwd"},
        {"x5u": address},
        {"x5c": [base64.b64encode(theirs).decode()]},
        {"x5t": encoded(hashlib.sha1(theirs).digest())},
        *({"kid": kid} for kid in ("", "0", "../../../../dev/null", "/etc/passwd", "' OR '1'='1", "|id", "a" * 900)),
        *({"kid": kid} for kid in (0, None, [], {}, True)),
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"b64": False},
        {"zip": "DEF"},
        {"enc": "A256GCM", "alg": "dir"},
        {"typ": "JWE"},
        {"cty": "JWT"},
    ]
    for header in headers:
        for name, key in (("their", theirs), ("an empty", b"")):
            yield f"{str(header)[:60]} with {name} key", f"Bearer {made(genuine.claims, key, header)}"


def changed_claims(genuine: Genuine) -> Variants:
    """Under the signature of what was not changed."""
    header, _, signature = genuine.access.split(".")
    theirs, later = claims_of(genuine.other), genuine.claims["exp"] + 86_400
    changes: list[Claims] = [
        *({name: theirs[name]} for name in ("sub", "sid", "jti")),
        {"sub": theirs["sub"], "sid": theirs["sid"]},
        *({"exp": value} for value in (later, 2**31, 2**63, 10**20, "9999999999", 1e300, True, None, [later])),
        *({"iat": value} for value in (0, later, None)),
        *({"scope": value} for value in ("read", "write", "read write admin", "*", "", None)),
        *({"token_type": value} for value in ("refresh", "admin", "", None)),
        *({"iss": value} for value in ("evil", "", None)),
        *({name: True} for name in ("is_staff", "is_superuser", "admin", "role")),
        {"nbf": 0},
        {"aud": "lockstep"},
    ]
    for change in changes:
        yield f"changed {change}", f"Bearer {header}.{part(genuine.claims | change)}.{signature}"
    yield (
        "the same claims in another order",
        f"Bearer {header}.{part(dict(sorted(genuine.claims.items())))}.{signature}",
    )
    for name in genuine.claims:
        left = {key: value for key, value in genuine.claims.items() if key != name}
        yield f"without {name}, signature kept", f"Bearer {header}.{part(left)}.{signature}"


def swapped_parts(genuine: Genuine) -> Variants:
    names = ("access", "refresh", "other")
    parts = [getattr(genuine, name).split(".") for name in names]
    for claims, claims_name in zip(parts, names, strict=True):
        for end, end_name in zip(parts, names, strict=True):
            if claims is not end:
                yield f"claims of {claims_name}, signature of {end_name}", f"Bearer {claims[0]}.{claims[1]}.{end[2]}"
    header, claims, signature = parts[0]
    orders = [(claims, header, signature), (signature, claims, header), (header, signature, claims)]
    for order in [*orders, (header, header, header), (claims,) * 3, (signature,) * 3]:
        yield f"parts turned round {order[0][:8]} {order[1][:8]}", f"Bearer {'.'.join(order)}"


def claims_of_ours_that_are_not_in_order(genuine: Genuine) -> Variants:
    """Under our own key: none of this was ever issued, and it must not matter."""
    now, nowhere = int(timezone.now().timestamp()), "0190163d-8694-739b-aea5-966c26f8ad91"
    changes: list[Claims] = [
        *({"exp": value} for value in (now - 1, now - 86_400, 0, -1, True, False, "", "x", [], {}, None, "1", 10**12)),
        *({"nbf": value} for value in (now + 60, now + 86_400, "x", [])),
        *({"iat": value} for value in (now + 60, now + 86_400, "x", [], {}, None)),
        *({"iss": value} for value in ("", "Lockstep", "lockstep ", "evil", ["lockstep"], None, 0, {})),
        *({"aud": value} for value in ("lockstep", ["lockstep"], "evil")),
        *({"sub": value} for value in (None, 1, [], {})),
        *({"jti": value} for value in (None, 1, [], {})),
        *({"sid": value} for value in (nowhere, genuine.claims["sub"], "", "x", "0", "1" * 31, "g" * 32)),
        *({"sid": value} for value in (0, 1, None, [], {}, True)),
        *({"token_type": value} for value in ("refresh", "Access", "access ", "id", "")),
        *({"token_type": value} for value in (None, 0, True, [], ["access"], {})),
    ]
    for change in changes:
        yield f"ours, but {change}", f"Bearer {made(genuine.claims | change, our_key())}"
    for name in signed.REQUIRED:
        left = {key: value for key, value in genuine.claims.items() if key != name}
        yield f"ours, without {name}", f"Bearer {made(left, our_key())}"
    for claims in ({}, [], None, "text", 7, [genuine.claims]):
        yield f"ours, with claims {str(claims)[:20]}", f"Bearer {made(claims, our_key())}"


def truncated(genuine: Genuine) -> Variants:
    for kind, secret in genuine.opening.items():
        for length in range(len(secret)):
            yield f"{kind}, its first {length} characters", f"Bearer {secret[:length]}"
    for kind, secret in genuine.opening.items():
        for length in range(1, len(secret), 7):
            yield f"{kind}, its last {length} characters", f"Bearer {secret[-length:]}"


def flipped_bits(genuine: Genuine, chance: random.Random) -> Variants:
    header, claims, signature = genuine.access.split(".")
    content = decoded(signature)
    for bit in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"signature, bit {bit}", f"Bearer {header}.{claims}.{encoded(bytes(flipped))}"
    for name, place in (("header", 0), ("claims", 1)):
        parts = genuine.access.split(".")
        content = decoded(parts[place])
        for byte in range(0, len(content), 3):
            flipped = bytearray(content)
            flipped[byte] ^= 1 << chance.randrange(8)
            parts[place] = encoded(bytes(flipped))
            yield f"{name}, one bit of byte {byte}", f"Bearer {'.'.join(parts)}"
    for kind in ("opaque", "oauth"):
        secret = genuine.opening[kind]
        for place in range(len(secret)):
            other = chr(ord(secret[place]) ^ 1 << chance.randrange(4))
            yield f"{kind}, character {place}", f"Bearer {secret[:place]}{other}{secret[place + 1 :]}"


STRANGE = {
    **{"space": " ", "tab": "\t", "newline": "\n", "return": "\r\n", "NUL": "\0", "DEL": "\x7f"},
    **{"comma": ",", "quote": '"', "percent": "%00", "plus": "+", "slash": "/", "padding": "=", "dot": "."},
    **{"accent": "\u00e9", "zero width": "\u200b", "BOM": "\ufeff", "right to left": "\u202e", "full stop": "\uff0e"},
    **{"emoji": "\U0001f511", "no UTF-8": "\udcff"},
}


def strange_characters(genuine: Genuine, chance: random.Random) -> Variants:
    """Not inside a signature, where some of them change nothing of what it says: see below."""
    for kind, secret in genuine.opening.items():
        end = secret.rindex(".") if "." in secret else len(secret)
        for name, text in STRANGE.items():
            for place in {1, end // 2, chance.randrange(1, end)}:
                strange = secret[:place] + text + secret[place:]
                yield (
                    f"{kind}, {name} at {place}",
                    f"Bearer {as_bytes(strange)}",
                )


def other_base64(genuine: Genuine) -> Variants:
    header, claims, signature = genuine.access.split(".")
    for count in (1, 2, 3, 4):
        pad = "=" * count
        yield f"{count} of padding behind the header", f"Bearer {header}{pad}.{claims}.{signature}"
        yield f"{count} of padding behind the claims", f"Bearer {header}.{claims}{pad}.{signature}"
        yield f"{count} of padding before the signature", f"Bearer {header}.{claims}.{pad}{signature}"
    for name, place in (("header", 0), ("claims", 1)):
        parts = genuine.access.split(".")
        content = decoded(parts[place])
        for way, text in {
            "with padding": base64.urlsafe_b64encode(content).decode() + "=",
            "in base32": base64.b32encode(content).decode(),
            "in hex": content.hex(),
            "with a line break": encoded(content)[:8] + "\n" + encoded(content)[8:],
            "twice": encoded(encoded(content).encode()),
            "in the clear": content.decode(),
            "with blanks in the JSON": encoded(content.replace(b":", b": ")),
            "after a BOM": encoded(b"\xef\xbb\xbf" + content),
            "in UTF-16": encoded(content.decode().encode("utf-16")),
        }.items():
            parts[place] = text
            yield f"{name} {way}", f"Bearer {'.'.join(parts)}"
    yield "signature in hex", f"Bearer {header}.{claims}.{decoded(signature).hex()}"
    yield "signature twice", f"Bearer {header}.{claims}.{signature}{signature}"
    yield "signature of no bytes", f"Bearer {header}.{claims}."
    yield "signature of zeros", f"Bearer {header}.{claims}.{encoded(bytes(32))}"


def put_together(genuine: Genuine) -> Variants:
    for kind, secret in genuine.opening.items():
        for name, other in genuine.opening.items():
            for sign in ("", " ", ",", ", ", ".", ";", "\t", "|"):
                yield f"{kind}{sign!r}{name}", f"Bearer {secret}{sign}{other}"
        yield f"{kind} under two names", f"Bearer {secret}, Bearer {secret}"
        yield f"{kind} after the scheme twice", f"Bearer Bearer {secret}"


def other_schemes(genuine: Genuine) -> Variants:
    schemes = (
        "",
        "Basic",
        "Token",
        "JWT",
        "Digest",
        "Negotiate",
        "ApiKey",
        "OAuth",
        "MAC",
        "DPoP",
        "Hoba",
        "Beare",
        "Bearers",
    )
    for kind, secret in genuine.opening.items():
        for scheme in (
            *schemes,
            "Bearer:",
            "Bearer=",
            '"Bearer"',
            "Bearer,",
            "B earer",
            "\tBearer",
            "\u0412\u0435arer",
        ):
            yield f"{kind} as {scheme!r}", as_bytes(f"{scheme} {secret}".removeprefix(" "))
        yield f"{kind} without a blank", f"Bearer{secret}"
        yield f"{kind} in quotes", f'Bearer "{secret}"'
        yield f"{kind} as a parameter", f'Bearer token="{secret}"'
        yield f"{kind} as Basic", f"Basic {base64.b64encode(f'owner:{secret}'.encode()).decode()}"
        yield f"{kind} in angle brackets", f"Bearer <{secret}>"


def what_is_none(genuine: Genuine) -> Variants:
    session = genuine.claims["sid"]
    digests = {"opaque": Token.digest_of(genuine.opaque), "oauth": Token.digest_of(genuine.oauth)}
    for kind, digest in digests.items():
        for way, text in {
            "hex": digest.hex(),
            "base64": base64.b64encode(digest).decode(),
            "base64url": encoded(digest),
        }.items():
            yield f"the digest of {kind} in {way}", f"Bearer {text}"
            yield f"the digest of {kind} in {way}, with its prefix", f"Bearer lsk_{text}"
        yield f"the digest of {kind} itself", f"Bearer {digest.decode('latin-1')}"
    for kind, secret in genuine.opening.items():
        swaps = {"upper case": secret.upper(), "swapped case": secret.swapcase(), "backwards": secret[::-1]}
        swaps |= {
            "without 4": secret[4:],
            "quoted": quote(secret + "/", safe=""),
            "more": secret + "A",
            "before": "A" + secret,
        }
        swaps |= {prefix: prefix + secret[4:] for prefix in ("lsk_", "lso_", "lsr_", "LSK_") if prefix != secret[:4]}
        for way, text in swaps.items():
            yield f"{kind}, {way}", f"Bearer {text}"
    words = (
        "null",
        "undefined",
        "None",
        "true",
        "0",
        "1",
        "-1",
        "NaN",
        "[]",
        "{}",
        "*",
        "%",
        "_",
        "lsk_%",
        "admin",
        "owner",
    )
    attacks = (
        "' OR '1'='1",
        "') OR 1=1 --",
        "{{7*7}}",
        "${jndi:ldap://evil}",
        "../../etc/passwd",
        "<script>",
        "$ne",
        "\\x00",
    )
    for text in (
        *words,
        *attacks,
        session,
        genuine.claims["sub"],
        genuine.claims["jti"],
        "." * 2,
        "..",
        ".a.",
        "a..",
        "a.b.c.d",
    ):
        yield f"the text {text!r}", f"Bearer {text}"
    for depth in (900, 1_100, 2_900):
        deep = encoded(b"[" * depth)
        yield f"a header of {depth} lists", f"Bearer {deep}.{deep[:40]}.AAAA"
    for length in (4_089, 4_096, 4_097, 100_000):
        yield f"{length} characters", f"Bearer {'x' * length}"


def genuine_refresh_tokens(genuine: Genuine) -> Variants:
    for kind in ("refresh", "oauth_refresh"):
        yield f"{kind} as an access token", f"Bearer {getattr(genuine, kind)}"
        yield f"{kind} with the prefix of another", f"Bearer lsk_{getattr(genuine, kind)[4:]}"


def variants(genuine: Genuine) -> dict[str, str]:
    """All of them, by what they are; each header once. The same ones in every run, but for the tokens themselves."""
    chance = random.Random(20_260_101)
    families = [
        *(
            family(genuine)
            for family in (unsigned, wrong_keys, confused_algorithms, keys_in_the_header, changed_claims)
        ),
        *(family(genuine) for family in (swapped_parts, claims_of_ours_that_are_not_in_order, truncated, other_base64)),
        *(family(genuine) for family in (put_together, other_schemes, what_is_none, genuine_refresh_tokens)),
        *(family(genuine, chance) for family in (flipped_bits, strange_characters)),
    ]
    by_header = {sendable(header): name for family in families for name, header in family}
    by_name = {name: header for header, name in by_header.items()}
    assert len(by_name) == len(by_header), "two variants have one name"
    return by_name


def sendable(header: str) -> str:
    """A header that no web server could hand over would test the client, not us."""
    return header if max(header) < "\u0100" else as_bytes(header)


# --- None of them opens anything --------------------------------------------------------------------------


def ask(authorization: str) -> Any:
    return CLIENT.get(ME, headers={"authorization": authorization})


def refused(answer: Any) -> bool:
    is_problem = answer["Content-Type"] == "application/problem+json"
    if answer.status_code == 431:  # a header that is too long is not looked into
        return is_problem and len(answer.wsgi_request.META["HTTP_AUTHORIZATION"]) > MAX_HEADER
    return answer.status_code == 401 and is_problem and answer["WWW-Authenticate"].startswith("Bearer ")


def assert_all_refused(headers: Mapping[str, str]) -> None:
    answers = {name: ask(header) for name, header in headers.items()}
    accepted = [f"{name}: {answer.status_code}" for name, answer in answers.items() if not refused(answer)]
    assert accepted == []


def assert_all_open(secrets: Mapping[str, str]) -> None:
    assert {kind: ask(f"Bearer {secret}").status_code for kind, secret in secrets.items()} == dict.fromkeys(
        secrets, 200
    )


def test_no_forgery_is_accepted_and_none_is_a_500(genuine: Genuine):
    forged = variants(genuine)
    assert len(forged) >= MIN_FORGERIES
    assert_all_open(genuine.opening)
    assert_all_refused(forged)
    assert_all_open(genuine.opening)


def test_what_is_made_by_hand_as_ours_are_opens(genuine: Genuine):
    assert_all_open({"made by hand": made(genuine.claims, our_key())})


def opened(user: User, client: Client) -> dict[str, str]:
    pair, oauth = sessions.open_pair(user), oauth_tokens(client)
    return {"opaque": sessions.open_opaque(user), "signed": pair.access, "oauth": oauth["access_token"]}


PAST = timezone.now() - timedelta(days=400)


@pytest.mark.parametrize(
    "ending",
    [
        lambda user: Session.objects.all().revoke(),
        lambda user: Session.objects.update(expires=PAST),
        lambda user: Session.objects.all().delete(),
        lambda user: User.objects.filter(pk=user.pk).update(is_active=False),
        lambda user: User.objects.filter(pk=user.pk).update(deleted=PAST),
        lambda user: User.objects.filter(pk=user.pk).delete(),
    ],
    ids=["revoked", "expired", "removed", "user inactive", "user deleted", "user gone"],
)
def test_genuine_tokens_end_with_their_session_and_their_user(owner: User, client: Client, ending: Any):
    secrets = opened(owner, client)
    assert_all_open(secrets)
    ending(owner)
    assert_all_refused({kind: f"Bearer {secret}" for kind, secret in secrets.items()})


@pytest.mark.parametrize("name", ["Proxy-Authorization", "X-Authorization", "X-Access-Token", "X-Api-Key", "Cookie"])
@pytest.mark.parametrize("kind", ["opaque", "access", "oauth"])
def test_a_token_in_another_header_is_none(genuine: Genuine, name: str, kind: str):
    secret = getattr(genuine, kind)
    value = f"access_token={secret}; token={secret}; sessionid={secret}" if name == "Cookie" else f"Bearer {secret}"
    assert refused(CLIENT.get(ME, headers={name: value}))


@pytest.mark.parametrize("name", ["access_token", "token", "bearer_token", "authorization", "api_key"])
@pytest.mark.parametrize("kind", ["opaque", "access", "oauth"])
def test_a_token_in_the_address_is_none(client: Client, genuine: Genuine, name: str, kind: str):
    assert refused(client.get(ME, {name: getattr(genuine, kind)}))


# --- Spellings of one signature ---------------------------------------------------------------------------
#
# A last character whose unused bits differ decodes to the same bytes: malleability, no forgery (RFC 4648, 3.5, lets a
# decoder take it). It is left out. What is no base64url at all must be refused (RFC 7515, 2 and 5.2), though it opens
# nothing that its owner could not open.


def spellings(genuine: Genuine) -> dict[str, str]:
    header, claims, signature = genuine.access.split(".")
    found = {"padding": f"{signature}=", "more padding": f"{signature}====", "plain base64": plain_base64(signature)}
    for name, text in STRANGE.items():
        if name != "dot":
            found[f"{name} inside"] = as_bytes(f"{signature[:20]}{text}{signature[20:]}")
    return {name: f"Bearer {header}.{claims}.{text}" for name, text in found.items() if text != signature}


def plain_base64(text: str) -> str:
    return text.replace("-", "+").replace("_", "/")


@pytest.fixture
def with_a_dash(owner: User, genuine: Genuine) -> Genuine:
    """A token in whose signature the two alphabets differ."""
    while not {"-", "_"} & set(genuine.access.rpartition(".")[2]):
        genuine = replace(genuine, access=sessions.open_pair(owner).access)
    return genuine


def test_a_signature_that_is_no_base64url_is_refused(with_a_dash: Genuine):
    assert_all_refused(spellings(with_a_dash))


# --- Tokens that need our key -----------------------------------------------------------------------------


def test_another_users_session_is_refused_even_under_our_key(genuine: Genuine):
    theirs = claims_of(genuine.other)
    assert_all_refused({"sid": f"Bearer {made(genuine.claims | {'sid': theirs['sid']}, our_key())}"})


@pytest.mark.parametrize("expires", [10**20, 1e300, "9999999999", 10**400], ids=["1e20", "float", "text", "1e400"])
def test_an_expiry_that_is_no_time_is_refused_even_under_our_key(genuine: Genuine, expires: object):
    assert_all_refused({"exp": f"Bearer {made(genuine.claims | {'exp': expires}, our_key())}"})


# --- Refreshing -------------------------------------------------------------------------------------------


def refresh(secret: str) -> Any:
    return CLIENT.post(REFRESH, {"refresh": secret}, content_type="application/json")


def refresh_forgeries(genuine: Genuine) -> dict[str, str]:
    claims, (header, _, signature) = claims_of(genuine.refresh), genuine.refresh.split(".")
    keys = {f"signed with {name}": made(claims, key) for name, key in guessed_keys().items()}
    cut = {f"its first {length} characters": genuine.refresh[:length] for length in range(1, len(genuine.refresh), 5)}
    return {
        **genuine.opening,
        **keys,
        **cut,
        "an OAuth refresh token": genuine.oauth_refresh,
        "unsigned": f"{part({'alg': 'none'})}.{part(claims)}.",
        "changed": f"{header}.{part({**claims, 'exp': claims['exp'] + 1})}.{signature}",
        "ours, of another session": made({**claims, "sid": claims_of(genuine.other)["sid"]}, our_key()),
        "ours, but never issued": made({**claims, "jti": "0" * 32}, our_key()),
        "ours, but expired": made({**claims, "exp": 1}, our_key()),
        "ours, from an access token": made({**genuine.claims, "token_type": "refresh"}, our_key()),
        "padded": f"{genuine.refresh}=",
        "its digest": Token.digest_of(genuine.refresh).hex(),
    }


def test_nothing_but_a_refresh_token_refreshes(genuine: Genuine):
    before = Token.objects.count()
    answers = {name: refresh(secret) for name, secret in refresh_forgeries(genuine).items()}
    accepted = [f"{name}: {answer.status_code}" for name, answer in answers.items() if not refused(answer)]
    assert accepted == []
    assert Token.objects.count() == before
    assert refresh(genuine.refresh).status_code == 200


def test_a_reused_refresh_token_is_refused_and_ends_its_session(genuine: Genuine):
    second = refresh(genuine.refresh).json()
    Token.objects.exclude(used=None).update(used=PAST)
    assert refused(refresh(genuine.refresh))
    for secret in (genuine.refresh, second["refresh"]):
        assert refused(refresh(secret))
    assert_all_refused({"first": f"Bearer {genuine.access}", "second": f"Bearer {second['access']}"})
    assert_all_open({"another sign-in": genuine.opaque})
