"""Python that tries code of a project, in `moi up`."""

import asyncio
import signal

from moi_django.contrib.services.code_process import run_python


def test_code_that_never_ends_is_not_waited_for():
    tried = run_python(["-c", "while True: pass"], {}, within=0.2)
    assert asyncio.run(tried) == -signal.SIGKILL


def test_its_exit_code_is_told():
    assert asyncio.run(run_python(["-c", "raise SystemExit(3)"], {}, within=60)) == 3
