"""A project that has the engine's core, with a user model and models of its own.

DATABASE_URL names the server. DATABASE may be "sqlite" (nothing is captured), "orders" (the log is in a second
database) or "schema" (all tables are in another schema than public); "extras" has rest, webhooks, feed and console as
well.
"""

import os
from urllib.parse import unquote, urlsplit

SECRET_KEY = "of the engine's own tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "people.Person"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "project.people",
    "project.blog",
    "pgtrigger",
    "lockstep",
]
MIDDLEWARE = ["lockstep.middleware.AttributionMiddleware"]
ROOT_URLCONF = "project.urls"
LOCKSTEP = {"RETENTION_DAYS": 30}

server = urlsplit(os.environ.get("DATABASE_URL", "postgresql://127.0.0.1/lockstep"))
postgresql = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": server.hostname,
    "PORT": server.port,
    "USER": unquote(server.username or ""),
    "PASSWORD": unquote(server.password or ""),
    "NAME": server.path.lstrip("/"),
    "OPTIONS": {"connect_timeout": 5},
}
kind = os.environ.get("DATABASE", "postgresql")
DATABASES = {"default": postgresql}
if kind == "extras":
    INSTALLED_APPS += [
        "rest_framework",
        "rest_framework.authtoken",
        "lockstep.rest",
        "django.contrib.postgres",
        "lockstep.webhooks",
        "lockstep.feed",
        "django.contrib.admin",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "django_htmx",
        "lockstep.console",
        "project.drafts",
    ]
    MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        *MIDDLEWARE,
    ]
    STATIC_URL = "static/"
    processors = ("template.context_processors.request", "contrib.auth.context_processors.auth")
    processors += ("contrib.messages.context_processors.messages",)
    TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": [f"django.{name}" for name in processors]},
        }
    ]
    REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.TokenAuthentication"]}
    ROOT_URLCONF = "project.extras_urls"
if kind == "sqlite":
    INSTALLED_APPS.remove("pgtrigger")
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
if kind == "schema":
    postgresql["OPTIONS"]["options"] = "-c search_path=elsewhere"
if kind == "orders":
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}, "orders": postgresql}
    LOCKSTEP = {"DATABASE": "orders"}
    DATABASE_ROUTERS = ["project.routers.Orders"]
