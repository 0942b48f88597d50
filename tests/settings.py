"""The smallest site that moi runs in."""

import os
import tempfile
from pathlib import Path
from typing import Any

from django.utils.module_loading import import_string

BASE_DIR = Path(os.environ.get("MOI_TEST_DIR", Path(__file__).parent))
SECRET_KEY = "for tests only, and as long as Django wants them to be"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
DEBUG = "MOI_TEST_DEBUG" in os.environ
USE_TZ = True
LANGUAGE_CODE = os.environ.get("MOI_TEST_LANGUAGE", "en")
INSTALLED_APPS = [
    *filter(None, [os.environ.get("MOI_TEST_RUNSERVER")]),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "moi_django",
    "moi_django.contrib.history",
    "tests.site",
]
# Django 6.1 wants one; those before it know none.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "tests.site.urls.policy",
]
ROOT_URLCONF = "tests.site.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "DIRS": list(filter(None, [os.environ.get("MOI_TEST_TEMPLATES")])),
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
# Django 5.2 has no such setting; the backport reads it.
TASKS = {
    "default": {
        "BACKEND": "moi_django.tasks.MoiBackend",
        "QUEUES": ["default", "reports", "elsewhere"],
    },
    "hurried": {
        "BACKEND": "moi_django.tasks.MoiBackend",
        "OPTIONS": {"JOB": {"retries": 1, "backoff": 0, "retry_on_lost": True}},
    },
}
ASGI_APPLICATION = os.environ.get("MOI_TEST_APPLICATION", "moi_django.asgi.application")
# A site that is below a path of its host.
FORCE_SCRIPT_NAME = os.environ.get("MOI_TEST_SCRIPT_NAME")
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": os.environ.get("MOI_TEST_LAYER", "moi_django.layers.MoiChannelLayer"),
    }
}
# A file: threads of the server and engines have to see what a test writes.
if layers := os.environ.get("MOI_TEST_LAYERS"):
    CHANNEL_LAYERS = import_string(layers)()
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("MOI_TEST_DATABASE", str(BASE_DIR / "db.sqlite3")),
        "TEST": {"NAME": os.environ.get("MOI_TEST_DATABASE", str(BASE_DIR / "test.sqlite3"))},
        # It need not outlast the machine: to wait for the disk takes most of a test.
        "OPTIONS": {"init_command": "PRAGMA synchronous=OFF"},
    },
    "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = os.environ.get("MOI_TEST_STATIC_URL", "/static/")
if hashed := os.environ.get("MOI_TEST_HASHED"):
    # As in production: the names of static files have a hash, and there are no others.
    STATIC_ROOT = hashed
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
    }
# Engines and servers that a test starts have the same.
MEDIA_ROOT = os.environ.setdefault(
    "MOI_TEST_MEDIA", str(Path(tempfile.gettempdir()) / f"moi-media-{os.getpid()}")
)
MOI = {"KEY_PREFIX": os.environ.get("MOI_TEST_PREFIX", ""), "TEST_ISOLATION": False}
if lease := os.environ.get("MOI_TEST_LEASE"):
    MOI["LEASE"] = float(lease)
MOI["RESULT_SCRIPTS"] = "MOI_TEST_SCRIPTS" in os.environ
