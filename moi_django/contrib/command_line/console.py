"""The `moi` script: `manage.py moi`, wherever one is in the project of `manage.py`."""

import os
import re
import sys
from pathlib import Path

SETTINGS = re.compile(r"""["']DJANGO_SETTINGS_MODULE["']\s*(?:,|\]\s*=)\s*["']([\w.]+)["']""")


def main() -> None:
    """Run a verb with the settings that are named, or else those of `manage.py`."""
    manage = find_manage(Path.cwd())
    sys.path.insert(0, str(manage.parent if manage else Path.cwd()))
    is_told = any(re.match(r"--settings(=|$)", argument) for argument in sys.argv[1:])
    if not is_told and "DJANGO_SETTINGS_MODULE" not in os.environ:
        found = manage and SETTINGS.search(manage.read_text(errors="replace"))
        if not found:
            sys.exit(_no_settings(manage))
        os.environ["DJANGO_SETTINGS_MODULE"] = found[1]
    from django.core.management import execute_from_command_line

    execute_from_command_line(["moi", "moi", *sys.argv[1:]])


def find_manage(directory: Path) -> Path | None:
    """Return the nearest `manage.py` here or above; None when there is none."""
    files = (each / "manage.py" for each in (directory, *directory.parents))
    return next((file for file in files if file.is_file()), None)


def _no_settings(manage: Path | None) -> str:
    where = f"{manage} names none" if manage else "there is no manage.py here or above"
    return (
        f"moi finds no settings, {where}: call it in the directory of your project, or set "
        "DJANGO_SETTINGS_MODULE."
    )
