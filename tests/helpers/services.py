"""`manage.py moi up`, as tests run it."""

import re
import subprocess
import sys
import threading
from contextlib import contextmanager

from tests.helpers.processes import environment

# Seconds until a line that does not come counts as missing.
PATIENCE = 120.0


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
        late = threading.Timer(PATIENCE, process.kill)
        late.start()
        try:
            for text in process.stdout:
                process.said.append(text)
                if found := re.search(pattern, text):
                    return found
        finally:
            late.cancel()
        raise AssertionError(f"it ended without saying {pattern!r}: {process.stderr.read()}")

    try:
        yield process, line
    finally:
        process.kill()
        process.communicate()
