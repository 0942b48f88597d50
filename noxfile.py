"""What a release needs: the tests on each Python and Django that is supported, and the package.

`nox` runs all of it, `nox --list` says what there is. Pythons that are not installed are skipped.
"""

import os
import shutil
from pathlib import Path

import nox

HERE = Path(__file__).resolve().parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
DJANGOS = ("5.2", "6.0", "6.1")
# From this Python on there is a Django 6; those before it have the backport of its tasks.
PYTHON_OF_DJANGO_6 = "3.12"
# `make test` has the oldest Python with the oldest Django; these are run beside it on each change.
EVERY_CHANGE = {("3.12", "6.0"), ("3.13", "6.1"), ("3.14", "6.1")}
NO_SERVICES = ("tests/unit", "tests/redis")
# And what engines do.
ENGINES = tuple(
    f"tests/cluster/test_{name}.py"
    for name in ("jobs", "job_output", "job_descriptors", "current_job", "decorator", "tasks")
)
SETTINGS = """
INSTALLED_APPS += ["channels", "moi_django"]
ASGI_APPLICATION = "moi_django.asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "moi_django.layers.MoiChannelLayer"}}
"""

nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"
# pyenv's own commands lead nowhere for a version that is installed and not chosen.
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
os.environ["PATH"] = os.pathsep.join([*map(str, PYENV.glob("*/bin")), os.environ["PATH"]])


def combinations():
    """Yield each Python with each Django that runs on it."""
    for python in PYTHONS:
        for django in DJANGOS:
            if django == "5.2" or python >= PYTHON_OF_DJANGO_6:
                tags = ["change"] if (python, django) in EVERY_CHANGE else []
                yield nox.param(python, django, tags=tags)


@nox.session
@nox.parametrize("python,django", list(combinations()))
def tests(session, django):
    """Run the tests that need no browser, but for the slow ones of clusters."""
    extra = "test,tasks-backport" if django == "5.2" else "test"
    session.install("-e", f".[{extra}]", f"django~={django}.0")
    session.run("python", "-m", "django", "--version")
    pytest = ["python", "-m", "pytest", "-q", "-n", str(2 * (os.cpu_count() or 1))]
    session.run(*pytest, "--dist", "worksteal", *NO_SERVICES, *session.posargs)
    session.run(*pytest, "--dist", "loadfile", *ENGINES, *session.posargs)
    if django != "5.2":
        session.run("python", ".ci/official_task_tests.py")


@nox.session(tags=["change"])
def build(session):
    """Build the package, and check what its page on an index will say."""
    session.install("build", "twine")
    shutil.rmtree(HERE / "dist", ignore_errors=True)
    session.run("python", "-m", "build", silent=True)
    session.run("twine", "check", "--strict", *map(str, (HERE / "dist").iterdir()))


@nox.session(tags=["change"])
@nox.parametrize("kind", ["whl", "tar.gz"])
def install(session, kind):
    """Install the package into an empty environment, and set up a site with it."""
    [package] = (HERE / "dist").glob(f"*.{kind}")
    session.install(f"{package}[embedded]")
    session.chdir(session.create_tmp())
    shutil.rmtree("site", ignore_errors=True)
    Path("site").mkdir()
    session.run("django-admin", "startproject", "mysite", "site")
    session.chdir("site")
    with Path("mysite/settings.py").open("a") as settings:
        settings.write(SETTINGS)
    session.run("python", "manage.py", "check", "--fail-level", "ERROR")
    session.run("python", "manage.py", "migrate", "-v0")
    session.run("moi", "submit", "--help", silent=True)
