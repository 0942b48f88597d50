"""A project as `startproject` and the steps of the README make it, for tests that run its tests."""

import os
import subprocess
import sys
from importlib.metadata import entry_points

from tests.helpers.processes import ROOT, environment

SETTINGS = """
INSTALLED_APPS += ["channels", "moi_django", "letters"]
ASGI_APPLICATION = "moi_django.asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "moi_django.layers.MoiChannelLayer"}}
DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / "test.sqlite3"}
"""
URLS = """
from letters import views
urlpatterns += [path("moi/", include("moi_django.urls")), path("count/", views.count)]
"""
PYTEST = """[pytest]
DJANGO_SETTINGS_MODULE = lab.settings
python_files = tests.py test_*.py
addopts = -p no:cacheprovider -p no:valkey
filterwarnings = error
asyncio_default_fixture_loop_scope = function
"""
# Where the package is not installed anew since it has one, its plugin is named.
IS_KNOWN = bool(entry_points(group="pytest11", name="moi_django"))
PLUGIN = [] if IS_KNOWN else ["-p", "moi_django.contrib.testing.pytest_plugin"]


def make_project(directory, files, settings=""):
    """Make the project `lab` with the app `letters`, whose files are given by their paths."""
    run(directory, "-m", "django", "startproject", "lab", ".")
    (directory / "letters").mkdir()
    (directory / "letters/__init__.py").touch()
    with (directory / "lab/settings.py").open("a") as file:
        file.write(SETTINGS + settings)
    with (directory / "lab/urls.py").open("a") as file:
        file.write("from django.urls import include\n" + URLS)
    (directory / "pytest.ini").write_text(PYTEST)
    for name, text in files.items():
        (directory / name).write_text(text)


def run(directory, *command, **env):
    """Run a Python command in the project; return what it has printed."""
    given = environment(PYTHONPATH=f"{directory}{os.pathsep}{ROOT}")
    given.pop("DJANGO_SETTINGS_MODULE")
    given.update(env)
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        env=given,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr
