"""A site whose pages ask again and again, as those of celery-progress do: a view for each task."""

import os
import tempfile
from pathlib import Path

import django
from celery import Celery
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import path

app = Celery("polling", backend=os.environ["MOI_REDIS_URL"])
app.set_default()
settings.configure(
    SECRET_KEY="for this measurement only",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    DATABASES={},
    BASE_DIR=Path(tempfile.gettempdir()),
)
django.setup()

from celery_progress.views import get_progress  # noqa: E402 - it reads the settings

urlpatterns = [path("<task_id>/", get_progress)]
application = get_asgi_application()
