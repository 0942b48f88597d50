"""`manage.py moi up`, as tests run it."""

import re
import subprocess
import sys
from contextlib import contextmanager

from tests.helpers.processes import environment


@contextmanager
def up(project, *arguments):
    """Run `moi up` until the block ends; give the process and a function that reads on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "moi", "up", "--engines=1", *arguments],
        env=environment(**project),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    process.said = []

    def line(pattern):
        for text in process.stdout:
            process.said.append(text)
            if found := re.search(pattern, text):
                return found
        raise AssertionError(f"it ended without saying {pattern!r}: {process.stderr.read()}")

    try:
        yield process, line
    finally:
        process.kill()
        process.communicate()
