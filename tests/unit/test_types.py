import subprocess
import sys

import pytest

from tests.helpers.package import ROOT


def test_pyright_reads_the_types_of_user_code_as_mypy_does():
    """`make lint` has both, and mypy also says there which ignored errors are none."""
    pytest.importorskip("pyright")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
