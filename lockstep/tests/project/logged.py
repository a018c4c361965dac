"""The settings of processes whose log a test reads."""

from project.settings import *  # noqa: F403 - the same, and a log

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
