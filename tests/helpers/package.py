"""The files of the package."""

from tests.helpers.processes import ROOT

PACKAGE = ROOT / "moi_django"


def static_files(suffix):
    """Return the path of each static file of a kind, by its name."""
    return {path.name: path for path in sorted((PACKAGE / "static").rglob(f"*{suffix}"))}
