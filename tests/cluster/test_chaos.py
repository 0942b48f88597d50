"""The short form of `make chaos`."""

import subprocess
import sys

from tests.helpers.processes import ROOT


def test_everything_is_killed_and_nothing_is_lost():
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "tests.chaos", "--seed=1"),
            *("--jobs=40", "--sockets=4", "--seconds=15"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "7 in 15 s" in ran.stdout and "40 submitted" in ran.stdout
