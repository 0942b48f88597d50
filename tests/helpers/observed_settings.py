"""A site whose jobs are seen from outside: by Sentry, in a log, by the id of a request."""

import os
from contextvars import ContextVar

import sentry_sdk

from tests.settings import *  # noqa: F403
from tests.settings import MOI

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

LANGUAGE_CODE, TIME_ZONE = "en", "Europe/Berlin"
MOI = {**MOI, "REQUEST_ID": "tests.helpers.observed_settings.request_id"}
LOGGING = {
    "version": 1,
    "filters": {"job": {"()": "moi_django.contrib.logging.filters.JobContextFilter"}},
    "formatters": {
        "short": {"format": "%(levelname)s %(message)s %(job_id)s %(context)s %(request_id)s"}
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "filters": ["job"], "formatter": "short"}
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
}

sentry_sdk.init(dsn=os.environ["MOI_TEST_SENTRY"])
