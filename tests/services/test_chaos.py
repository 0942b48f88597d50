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
    for kind in (
        "kill fork server 1",
        "freeze engine 1",
        "freeze redis 1",
        "step clock 1",
        "fail over 1",
    ):
        assert kind in ran.stdout, ran.stdout
