"""Settings of the example: an ordinary site, and the lines that moi_django needs."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).parents[1]

# What moi_django needs -------------------------------------------------------------------------

INSTALLED_APPS = [
    "example",  # before moi_django, so that its templates are found first
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "moi_django",
]
ASGI_APPLICATION = "moi_django.asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "moi_django.layers.MoiChannelLayer"}}

# The rest of the site --------------------------------------------------------------------------

# An example on one machine. A site of yours keeps its key secret and sets DEBUG to False.
SECRET_KEY = "the example has no secrets"
DEBUG = True
# In case the demo is watched from another machine: EXAMPLE_HOSTS=name,other-name
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *os.environ.get("EXAMPLE_HOSTS", "").split(",")]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "example.middleware.content_security_policy",
]
ROOT_URLCONF = "example.urls"
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
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("EXAMPLE_DATABASE", str(BASE_DIR / "db.sqlite3")),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
USE_TZ = True
TIME_ZONE = "UTC"
# Where files are kept that jobs attach.
MEDIA_ROOT = os.environ.get("EXAMPLE_MEDIA", str(BASE_DIR / "media"))
# Nobody else keeps files there, and the demo may have been started with --fresh.
MOI = {"STRAY_FILES_AGE": 600, "LIST_URL": "home"}
if state_dir := os.environ.get("EXAMPLE_STATE_DIR"):
    MOI["STATE_DIR"] = state_dir
