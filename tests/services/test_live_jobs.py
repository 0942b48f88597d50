"""The page on how to test jobs, word for word, in a new project; with real engines."""

import re

import psutil

from moi_django.contrib.testing.engine_settings import VARIABLE
from tests.helpers.processes import ROOT, wait_for
from tests.helpers.site_project import PLUGIN, make_project, run

PAGE = (ROOT / "docs/howto/test-your-jobs.md").read_text()
INNER = """
from letters.jobs import submit_another

class MoreLiveTests(MoiTransactionTestCase):
    def test_engines_see_the_database_and_the_redis_of_the_tests(self):
        ada = User.objects.create_user("ada")
        with live_jobs():
            job = submit(ctx_default, ada, "Another", None, submit_another, ada.pk)
            self.assertEqual(job.value(30), 3)
            self.assert_submitted(name="Letters", owner=ada, times=1)
        self.assertEqual(len(self.submitted()), 2)

    def test_what_goes_on_is_cancelled(self):
        with live_jobs():
            job = submit(ctx_default, "ada", "Sleep", None, time.sleep, 60)
        self.assertEqual(job.refresh().state, "cancelled")

class RefusedTests(MoiTestCase):
    def test_engines_would_not_see_the_transaction(self):
        with self.assertRaisesRegex(Exception, "MoiTransactionTestCase"):
            with live_jobs():
                pass
"""
JOB = """

def submit_another(user_id):
    from moi_django import ctx_default, submit

    ada = User.objects.get(pk=user_id)
    return submit(ctx_default, ada, "Letters", None, count_letters, user_id).value()
"""


def files_of_page():
    """Return the files whose paths the code of the page names in its first line."""
    files = {}
    for path, text in re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        files[path] = files.get(path, "") + text
    return files


def test_the_page_says_what_works_and_nothing_is_left(tmp_path):
    files = files_of_page()
    assert len(re.findall("```python", PAGE)) == len(re.findall(r"```python\n# \S+\n", PAGE))
    files["letters/tests.py"] += INNER
    files["letters/jobs.py"] += JOB
    make_project(tmp_path, files)
    for command, path in (
        (["manage.py", "test", "letters.tests"], "letters/tests.py"),
        (["-m", "pytest", "-q", *PLUGIN, "letters/test_letters.py"], "letters/test_letters.py"),
    ):
        count = len(re.findall(r"def test_", files[path]))
        assert count > 0
        said = run(tmp_path, *command)
        assert f"Ran {count} tests" in said or f"{count} passed" in said
    wait_for(lambda: not left(tmp_path), "that engines end")


def left(project):
    """Return the processes of engines that have come from the tests of a project."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if VARIABLE in environment and str(project) in environment.get("PYTHONPATH", ""):
            found.append(process)
    return found
