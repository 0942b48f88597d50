"""Say where programs that are started find the modules of this one."""

import os
import sys
import sysconfig
from itertools import takewhile
from pathlib import Path


def python_path() -> str:
    """Return where children find the modules that this process finds besides what is installed."""
    installed = Path(sysconfig.get_path("stdlib")).parent
    found = takewhile(lambda entry: Path(entry).parent != installed, sys.path)
    return os.pathsep.join(dict.fromkeys(os.path.abspath(entry or ".") for entry in found))  # noqa: PTH100
