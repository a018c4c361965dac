"""Every setting, in one place, read from the environment and checked here.

A variable comes from the process, else from `.env` in the project's root, else from the file that a
running `make run` keeps in LOCKSTEP_HOME. Each may also be the content of a file, named by the same variable with
_FILE behind it (config/environment.py). `.env.example` explains each. What is missing or unsafe stops the start with a
sentence; nothing here starts a server.
"""

from ipaddress import ip_network
from pathlib import Path
from re import fullmatch
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from environs import EnvError, validate

from backend.config.environment import Env, has_traces, http_url, http_url_or_none
from backend.config.logs import logging_config
from backend.config.openapi import SCHEMA_DEPRECATED, SCHEMA_TAGS, SPECTACULAR_SETTINGS  # noqa: F401 - a setting, too
from backend.web_server import MAX_DRAIN_SECONDS

BASE_DIR = Path(__file__).resolve().parents[2]

env = Env()
env.read_env(BASE_DIR / ".env", recurse=False)
LOCKSTEP_HOME = BASE_DIR / (env.str("LOCKSTEP_HOME", "").strip() or ".lockstep")  # a blank one counts as unset
env.read_env(LOCKSTEP_HOME / "environment", recurse=False)

PORT = env.str("PORT", "").strip() or "8000"  # for what commands print: the web server reads it by itself

# --- Safety ---------------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", False)
try:
    SECRET_KEY = env.str("SECRET_KEY")
    SECRET_KEY_FALLBACKS: list[str] = env.items("SECRET_KEY_FALLBACKS")
    ALLOWED_HOSTS = env.items("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"] if DEBUG else [])
    DATABASES: dict[str, dict[str, Any]] = {"default": dict(env.dj_db_url("DATABASE_URL"))}
    # Where a password is kept by itself, as services that rotate it do.
    if password := env.str("DATABASE_PASSWORD", ""):
        DATABASES["default"]["PASSWORD"] = password
except EnvError as error:
    raise ImproperlyConfigured(
        f"{str(error).rstrip('.')}. In development `make run` keeps all settings in {LOCKSTEP_HOME}/environment while "
        "it runs: start it, or, where it has a LOCKSTEP_HOME of its own, set LOCKSTEP_HOME to the same folder here. "
        "Elsewhere set SECRET_KEY, ALLOWED_HOSTS and DATABASE_URL; .env.example explains them."
    ) from error
if not DEBUG and (not ALLOWED_HOSTS or "*" in ALLOWED_HOSTS):
    raise ImproperlyConfigured("ALLOWED_HOSTS must name the hosts that this server answers for; * is none.")
if any("/" in host for host in ALLOWED_HOSTS):
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS must name hosts alone: shop.example, without https:// and without a path."
    )
if not DEBUG and min(map(len, [SECRET_KEY, *SECRET_KEY_FALLBACKS])) < 50:
    raise ImproperlyConfigured(
        "SECRET_KEY, and each of SECRET_KEY_FALLBACKS, must be at least 50 random characters outside development."
    )

# --- Django ---------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "corsheaders",
    "oauth2_provider",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "pgtrigger",
    "lockstep",
    "lockstep.mirror",
    "lockstep.rest",
    "lockstep.webhooks",
    "lockstep.feed",
    "lockstep.console",
    "backend.entities",
    "backend.accounts",
    "backend.posts",
    "backend.shop",
    "backend.defects",
    "backend.movies",
    "backend.compat",
    "backend.home",
]
MIDDLEWARE = [
    "lockstep.rest.middleware.request_id",
    "lockstep.rest.middleware.secure_headers",
    "lockstep.rest.middleware.problems",
    "lockstep.rest.middleware.probes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "backend.entities.admin_middleware.AdminMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "backend.config.urls"
WSGI_APPLICATION = "backend.config.wsgi.application"
# Frozen routes answer with and without the slash themselves: a redirected POST loses its body.
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL, LOGIN_REDIRECT_URL = "/sign-in/", "/admin/"
AUTHENTICATION_BACKENDS = ["backend.accounts.backends.NameOrEmailBackend"]
PASSWORD_HASHERS = ["backend.accounts.hashers.Argon2", "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
# Development serves them from the packages. Elsewhere `manage.py collectstatic` puts them here, compressed and with a
# hash in their names, and the web server does not start without them (entities/deployment.py).
STATIC_ROOT = None if DEBUG else env.path("STATIC_ROOT", BASE_DIR / "staticfiles")
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
CSRF_FAILURE_VIEW = "backend.home.views.out_of_date"
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", not DEBUG)
# Browsers store these settings: only the owner of a domain can say whether all its hosts support https.
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 0 if DEBUG else 365 * 24 * 3600, validate=validate.Range(min=0))
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = env.bool("HSTS_PRELOAD", False)
# Proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted; only they may reach the web server then.
try:
    TRUSTED_PROXIES = env.items("TRUSTED_PROXIES", read=ip_network)
except ValueError as error:
    raise ImproperlyConfigured(f"TRUSTED_PROXIES is a list of networks such as 10.0.0.0/8: {error}.") from error
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
# Pages of other origins may read nothing, unless they are named.
CORS_ALLOWED_ORIGINS: list[str] = env.items("CORS_ALLOWED_ORIGINS")
CORS_ALLOW_HEADERS = [
    *("accept", "authorization", "content-type", "if-match", "if-none-match"),
    *("idempotency-key", "last-event-id", "traceparent", "tracestate", "x-request-id"),
]
if CORS_ALLOWED_ORIGINS:
    MIDDLEWARE.insert(2, "corsheaders.middleware.CorsMiddleware")
CORS_EXPOSE_HEADERS = [
    *("age", "allow", "etag", "link", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate"),
    *("idempotent-replayed", "x-count", "x-request-id", "x-total-count"),
]

# --- PostgreSQL -----------------------------------------------------------------------------------------
if DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must be a postgresql:// address: the change log lives on its triggers.")
DATABASE_OPTIONS: dict[str, Any] = DATABASES["default"].get("OPTIONS", {})  # the query parameters of DATABASE_URL
if "pool" in DATABASE_OPTIONS:
    raise ImproperlyConfigured("DATABASE_URL must not have pool: each process keeps the connections that it needs.")
DATABASES["default"].update(
    ENGINE="lockstep.changes.postgresql",
    CONN_MAX_AGE=None,  # a new connection costs 4.6 ms a request
    CONN_HEALTH_CHECKS=False,  # rest/connections.py finds out for less
    OPTIONS={
        # A connection whose peer does not acknowledge ends after some seconds (changes/connecting.py has the others).
        "connect_timeout": 5,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        **DATABASE_OPTIONS,
        "application_name": "lockstep-web",
        "prepare_threshold": 3,  # of rest/fastpath/statements.py: the ORM's own are not prepared
    },
)

# --- REST -----------------------------------------------------------------------------------------------
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["backend.accounts.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["lockstep.rest.json.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["lockstep.rest.json.JSONRenderer"],
    "URL_FORMAT_OVERRIDE": None,  # Accept selects a representation
    "EXCEPTION_HANDLER": "lockstep.rest.exception_handler.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "lockstep.rest.schema.AutoSchema",
}

# --- Signing in -----------------------------------------------------------------------------------------
TOKEN_DAYS = env.int("TOKEN_DAYS", 30, validate=validate.Range(min=1, max=365))
ACCESS_MINUTES = env.int("ACCESS_MINUTES", 15, validate=validate.Range(min=1, max=1_440))
REFRESH_DAYS = env.int("REFRESH_DAYS", 30, validate=validate.Range(min=1, max=365))
REGISTRATIONS_PER_HOUR = env.int("REGISTRATIONS_PER_HOUR", 10_000 if DEBUG else 100, validate=validate.Range(min=0))
OAUTH2_PROVIDER_APPLICATION_MODEL = "oauth2_provider.Application"
OAUTH2_PROVIDER = {
    "SCOPES": {"read": "Read what is yours", "write": "Change what is yours, and see it as it is then"},
    # The clients use the flow without a browser (decision 16); all else follows RFC 9700.
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": False,
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
}
SILENCED_SYSTEM_CHECKS = [
    "oauth2_provider.W002",  # the password flow is on, on purpose
    *("security.W005", "security.W021"),  # subdomains and the preload list are their owner's to decide (HSTS_…)
]

# --- Lockstep -------------------------------------------------------------------------------------------
# Webhooks go to public addresses only. Private networks must be allowed here.
try:
    WEBHOOK_ALLOW_NETWORKS = env.items("WEBHOOK_ALLOW_NETWORKS", read=ip_network)
except ValueError as error:
    raise ImproperlyConfigured(f"WEBHOOK_ALLOW_NETWORKS is a list of networks such as 10.0.0.0/8: {error}.") from error
MAX_BODY_BYTES = DATA_UPLOAD_MAX_MEMORY_SIZE
LOCKSTEP: dict[str, Any] = {
    "CAPTURED_APPS": ["accounts", "lockstep_webhooks", "lockstep_console", "posts", "shop", "defects", "movies"],
    "RETENTION_DAYS": env.int("CHANGE_LOG_RETENTION_DAYS", 30, validate=validate.Range(min=1, max=36_500)),
    "ATTEMPT_RETENTION_DAYS": env.int("ATTEMPT_RETENTION_DAYS", 7, validate=validate.Range(min=1, max=365)),
    # The role that web and worker connect as where it is not the owner of the tables; `migrate` gives it its rights.
    "APPLICATION_ROLE": env.str("APPLICATION_ROLE", "").strip(),
    "SECURE_PGTRIGGERS": True,
    "WORKER_METRICS_PORT": env.int("WORKER_METRICS_PORT", 0, validate=validate.Range(min=0, max=65_535)),
    "WORKER_METRICS_HOST": env.str("WORKER_METRICS_HOST", "127.0.0.1"),
    "WEBHOOK_ALLOW_NETWORKS": list(map(str, WEBHOOK_ALLOW_NETWORKS)),
    "WEBHOOKS_PER_USER": env.int("WEBHOOKS_PER_USER", 20, validate=validate.Range(min=0, max=1_000)),
    "WEBHOOK_PATIENCE_DAYS": env.int("WEBHOOK_PATIENCE_DAYS", 5, validate=validate.Range(min=1, max=90)),
    "WEBHOOK_OVERLAP_HOURS": env.int("WEBHOOK_OVERLAP_HOURS", 24, validate=validate.Range(min=0, max=720)),
    "WEBHOOK_DEADLINE": env.float("WEBHOOK_DEADLINE", 15.0, validate=validate.Range(min=1, max=60)),
    "WEBHOOK_CONCURRENCY": env.int("WEBHOOK_CONCURRENCY", 8, validate=validate.Range(min=1, max=256)),
    "WEBHOOK_CAP": env.int("WEBHOOK_CAP", 100_000, validate=validate.Range(min=100)),
    # Live streams hold a thread and a connection each, beside the slots of requests.
    "FEED_STREAMS": env.int("FEED_STREAMS", 16, validate=validate.Range(min=0, max=1_000)),
    # Requests a minute of one user, or one address, to one web process.
    "REST_RATE_LIMIT": env.int("RATE_LIMIT", 600_000 if DEBUG else 6_000, validate=validate.Range(min=1)),
    "REST_MAX_BODY_BYTES": MAX_BODY_BYTES,
    "REST_TRUSTED_PROXIES": list(map(str, TRUSTED_PROXIES)),
    # A statement of a request that takes longer is cancelled (503).
    "REST_STATEMENT_SECONDS": env.float("STATEMENT_SECONDS", 15.0, validate=validate.Range(min=0.1, max=600)),
    "REST_PROBE_SECONDS": env.float("PROBE_SECONDS", 1.0, validate=validate.Range(min=0.05, max=60)),
    # The bearer token for /metrics; without one, /metrics exists in development only.
    "REST_METRICS_TOKEN": env.str("METRICS_TOKEN", ""),
    # Whether a request's span is the child of the one that its client names; else it begins a trace with a link to it.
    "REST_TRACEPARENT_TRUSTED": env.bool("TRACEPARENT_TRUSTED", True),
    "REST_SCHEMA_TAGS": SCHEMA_TAGS,
    "REST_SCHEMA_DEPRECATED": SCHEMA_DEPRECATED,
    # Requests at work, those that wait for a slot, their longest wait; those that wait for a remote, in all, per user.
    "SERVER_REQUESTS": env.int("WEB_REQUESTS", 4, validate=validate.Range(min=1, max=256)),
    "SERVER_MAX_WAITING": env.int("MAX_REQUESTS_WAITING", 500, validate=validate.Range(min=1)),
    "SERVER_WAITING_SECONDS": env.float("REQUEST_WAITING_SECONDS", 10.0, validate=validate.Range(min=0.1, max=300)),
    "SERVER_REMOTE_WAITS": env.int("REMOTE_WAITS", 16, validate=validate.Range(min=1, max=256)),
    "SERVER_REMOTE_WAITS_PER_USER": env.int("REMOTE_WAITS_PER_USER", 2, validate=validate.Range(min=1, max=256)),
    # How long a stopping web process goes on serving, with 503 on /readyz.
    "SERVER_DRAIN_SECONDS": env.float("WEB_DRAIN_SECONDS", 0.0, validate=validate.Range(min=0, max=MAX_DRAIN_SECONDS)),
    # Limits of slow clients (rest/server/). A body: so many seconds, plus one for every so many bytes received.
    "SERVER_BODY_SECONDS": env.float("REQUEST_BODY_SECONDS", 10.0, validate=validate.Range(min=0.1, max=300)),
    "SERVER_BODY_BYTES_PER_SECOND": env.int("REQUEST_BODY_BYTES_PER_SECOND", 16_384, validate=validate.Range(min=1)),
    "SERVER_BODIES_BYTES": env.int(
        "REQUEST_BODIES_BYTES", 64 * 1024 * 1024, validate=validate.Range(min=MAX_BODY_BYTES)
    ),
    # A stream ends if its client reads nothing for so long.
    "SERVER_STREAM_STALL_SECONDS": env.float("STREAM_STALL_SECONDS", 30.0, validate=validate.Range(min=0.1, max=300)),
}
POSTS_PROVIDER_URL = env.str(
    "POSTS_PROVIDER_URL",
    "http://127.0.0.1:3001" if DEBUG else "https://jsonplaceholder.typicode.com",
    validate=http_url,
)
POSTS_PROVIDER_CONCURRENCY = env.int("POSTS_PROVIDER_CONCURRENCY", 8, validate=validate.Range(min=1, max=256))
POSTS_PROVIDER_DEADLINE = env.float("POSTS_PROVIDER_DEADLINE", 10.0, validate=validate.Range(min=0.1, max=600))
# The limits of a worker's changes in one reconciliation; beyond them an operator decides. And the delay before it reads
# a provider again that lacks many objects.
POSTS_PROVIDER_MAX_CREATES = env.int("POSTS_PROVIDER_MAX_CREATES", 100, validate=validate.Range(min=0))
POSTS_PROVIDER_MAX_UPDATES = env.int("POSTS_PROVIDER_MAX_UPDATES", 100, validate=validate.Range(min=0))
POSTS_PROVIDER_MAX_DELETES = env.int("POSTS_PROVIDER_MAX_DELETES", 20, validate=validate.Range(min=0))
POSTS_PROVIDER_SECOND_LOOK_SECONDS = env.float(
    "POSTS_PROVIDER_SECOND_LOOK_SECONDS", 30.0, validate=validate.Range(min=0, max=86_400)
)
# There is no public gateway: outside development no card is charged until one is configured.
PAYMENTS_URL = env.str("PAYMENTS_URL", "http://127.0.0.1:3002" if DEBUG else "", validate=http_url_or_none)
if not DEBUG and PAYMENTS_URL.startswith("http://"):
    raise ImproperlyConfigured("PAYMENTS_URL must begin with https:// outside development: cards go there.")
# The counter of defects, and the secret that signs its messages. In development it is the secret in examples/.
COUNTER_URL = env.str("COUNTER_URL", "http://127.0.0.1:8888" if DEBUG else "", validate=http_url_or_none)
COUNTER_SECRET = env.str("COUNTER_SECRET", "whsec_bG9ja3N0ZXAsIGluIGRldmVsb3BtZW50" if DEBUG else "")
if COUNTER_URL and not fullmatch("whsec_[A-Za-z0-9+/]{32,}={0,2}", COUNTER_SECRET):
    raise ImproperlyConfigured(
        "COUNTER_SECRET is what messages to COUNTER_URL are signed with: whsec_ and at least 24 bytes in base64."
    )
MOVIES_PROVIDER_URL = env.str(
    "MOVIES_PROVIDER_URL",
    "http://127.0.0.1:3003" if DEBUG else "https://november7-730026606190.europe-west1.run.app",
    validate=http_url,
)
# How old the catalogue of movies may be before it is fetched again, and before a response says that it is stale.
MOVIES_REFRESH_SECONDS = env.int("MOVIES_REFRESH_SECONDS", 300, validate=validate.Range(min=1))
MOVIES_STALE_SECONDS = env.int("MOVIES_STALE_SECONDS", 900, validate=validate.Range(min=1))
# How long a statement of `migrate` waits for a lock, with writers waiting behind it, and how long it is repeated.
MIGRATION_LOCK_SECONDS = env.float("MIGRATION_LOCK_SECONDS", 5.0, validate=validate.Range(min=0.01, max=600))
MIGRATION_RETRY_SECONDS = env.float("MIGRATION_RETRY_SECONDS", 300.0, validate=validate.Range(min=0, max=86_400))
DRIFT_CHECK_SECONDS = env.int("DRIFT_CHECK_SECONDS", 3600, validate=validate.Range(min=1))
SHOP_SEARCH = env.str("SHOP_SEARCH", "backend.shop.search.engine.PostgresSearch")
ORDER_CONFIRM_SECONDS = env.int("ORDER_CONFIRM_SECONDS", 300, validate=validate.Range(min=1, max=86_400))
# What the unpaid orders of one user may hold; 0: no limit.
UNPAID_ORDERS_PER_USER = env.int("UNPAID_ORDERS_PER_USER", 1_000 if DEBUG else 100, validate=validate.Range(min=0))
UNPAID_UNITS_PER_USER = env.int("UNPAID_UNITS_PER_USER", 1_000_000, validate=validate.Range(min=0))
# Cards that may be tried: for one order, and by one user in an hour.
CARD_TRIES_PER_ORDER = env.int("CARD_TRIES_PER_ORDER", 5, validate=validate.Range(min=1))
CARD_TRIES_PER_HOUR = env.int("CARD_TRIES_PER_HOUR", 1_000 if DEBUG else 30, validate=validate.Range(min=1))
# Whether POST /api/order/ accepts orders, which are final without payment. A shop with a gateway requires payment.
ORDERS_WITHOUT_PAYMENT = env.bool("ORDERS_WITHOUT_PAYMENT", DEBUG or not PAYMENTS_URL)

# --- Traces ---------------------------------------------------------------------------------------------
TRACES = has_traces(
    OTEL_EXPORTER_OTLP_ENDPOINT=env.str("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
    OTEL_EXPORTER_OTLP_HEADERS=env.str("OTEL_EXPORTER_OTLP_HEADERS", ""),
    OTEL_SERVICE_NAME=env.str("OTEL_SERVICE_NAME", ""),
    OTEL_TRACES_SAMPLER=env.str("OTEL_TRACES_SAMPLER", ""),
    OTEL_TRACES_SAMPLER_ARG=env.str("OTEL_TRACES_SAMPLER_ARG", ""),
)

# --- Logging --------------------------------------------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]))
# Web server and workers write to standard output outside development; commands never, which have their results there.
LOG_STREAM = env.str("LOG_STREAM", "stderr", validate=validate.OneOf(["stdout", "stderr"]))
LOGGING = logging_config(LOG_LEVEL, for_people=DEBUG, stream=LOG_STREAM)
