"""Run Django's own tests of tasks on our backend: all that a backend which keeps results can pass.

They are in the source of Django, of the version that is installed, which pip fetches. The others
are about what the built-in backends alone do: that a result is there at once, that there is none,
or attributes of their own. What they ask of a task that has run, `test_tasks.py` asks of ours.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import types
import unittest
from pathlib import Path

import django

from moi_django.contrib.services.embedded_redis import EmbeddedRedis

# Of a class: the test methods that have to pass.
WANTED = {
    "DummyBackendTestCase": """
        check enqueue_logs errors get_missing_result get_result get_result_async takes_context
        validate_disallowed_async_task validate_on_aenqueue validate_on_enqueue
    """,
    "ImmediateBackendTestCase": "validate_on_aenqueue validate_on_enqueue",
    # With ON_COMMIT off, as in Django.
    "DummyBackendTransactionTestCase": "doesnt_wait_until_transaction_commit_by_default",
    "TaskTestCase": """
        aenqueue_with_invalid_argument call_async_task call_async_task_sync call_task
        call_task_async chained_using enqueue_with_invalid_argument get_incorrect_result
        get_incorrect_result_async get_missing_result get_result get_result_async invalid_function
        invalid_priority module_path naive_datetime name no_backends pickle_task
        pickle_task_result refresh_result run_after_in_decorator
        takes_context_without_taking_context task_decorator task_error_invalid_exception
        task_error_unknown_module unknown_queue_name unpickle_arbitrary_string
        unpickle_non_task_object using_creates_new_instance using_missing_backend using_priority
        using_queue_name using_run_after using_unknown_backend
    """,
}


# What Django 6.0 cannot do yet.
SINCE_6_1 = {
    *("pickle_task", "pickle_task_result", "run_after_in_decorator"),
    *("unpickle_arbitrary_string", "unpickle_non_task_object"),
}


def fetch_tests(directory: str) -> str:
    """Return where the tests of the installed Django are, once pip has fetched them."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "django"]
    version = django.get_version()
    subprocess.run([*pip, "-d", directory, f"django=={version}"], check=True)
    [source] = Path(directory).glob("*.tar.gz")
    with tarfile.open(source) as archive:
        wanted = [each for each in archive if "/tests/tasks/" in each.name]
        archive.extractall(directory, wanted, filter="data")
    return str(Path(directory) / f"django-{version}" / "tests")


def make_settings(redis_url: str) -> types.ModuleType:
    """Return settings as Django's tests have them, with our backend."""
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    made = types.ModuleType("settings_of_tasks")
    vars(made).update(
        SECRET_KEY="for tests only, and as long as Django wants them to be",  # noqa: S106
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "moi_django"],
        DATABASES={"default": database, "other": database},
        MOI={
            "REDIS_URL": redis_url,
            "TEST_ISOLATION": False,
            "CONTEXTS": {"default": {"connection_file": os.devnull + "/none"}},
        },
        TASKS=make_backends(["default", "queue_1"]),
    )
    return made


def make_backends(queues: list[str]) -> dict[str, object]:
    """Return the TASKS of Django's tests, with our backend."""
    ours = {"BACKEND": "moi_django.tasks.MoiBackend", "OPTIONS": {"ON_COMMIT": False}}
    immediate = "django.tasks.backends.immediate.ImmediateBackend"
    return {
        "default": {**ours, "QUEUES": queues},
        "immediate": {"BACKEND": immediate, "QUEUES": []},
        "missing": {"BACKEND": "does.not.exist"},
    }


def load_suite() -> unittest.TestSuite:
    """Return the wanted tests."""
    from django.test import override_settings
    from tasks import test_dummy_backend, test_immediate_backend, test_tasks

    suite = unittest.TestSuite()
    modules = (test_dummy_backend, test_immediate_backend, test_tasks)
    for name, wanted in WANTED.items():
        [case] = [vars(each)[name] for each in modules if name in vars(each)]
        backends = make_backends(["default", "queue_1"] if name == "TaskTestCase" else [])
        # What there is to set up is of the built-in ones.
        ours = {"setUp": lambda self: None, "databases": "__all__", "__module__": case.__module__}
        case = override_settings(USE_TZ=True, TASKS=backends)(type(name, (case,), ours))
        names = set(wanted.split()) - (SINCE_6_1 if django.VERSION < (6, 1) else set())
        suite.addTests(case(f"test_{each}") for each in sorted(names))
    return suite


def main() -> bool:
    """Run them; tell whether all have passed."""
    with tempfile.TemporaryDirectory() as directory, EmbeddedRedis() as server:
        sys.path.insert(0, fetch_tests(directory))
        made = make_settings(server.url)
        sys.modules[made.__name__] = made
        os.environ["DJANGO_SETTINGS_MODULE"] = made.__name__
        django.setup()
        from django.test.runner import DiscoverRunner

        runner = DiscoverRunner(verbosity=0)
        runner.setup_test_environment()
        runner.setup_databases()
        ran = unittest.TextTestRunner().run(load_suite())
        return ran.wasSuccessful() and not ran.skipped


if __name__ == "__main__":
    sys.exit(not main())
