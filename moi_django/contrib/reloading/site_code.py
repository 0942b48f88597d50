"""Which modules are the code of this site: what its settings and installed apps are of.

That is not what happens to be imported: a web server, a shell and an engine import different parts
of a project and are to agree on it. So it is all that stands where the modules stand that the
settings name, unless that is where packages are installed.
"""

import os
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from django.apps import apps
from django.conf import settings

from moi_django.contrib.reloading.project_code import ProjectCode, python_files

# What has no say: an engine runs its own moi_django, whatever a fork server has loaded.
OWN = "moi_django"
_INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")


@lru_cache(maxsize=1)
def describe_code() -> ProjectCode | None:
    """Return the code of this site as it stood when this process was first asked, if it has any."""
    found = read_code()
    return found if found.parts else None


def read_code() -> ProjectCode:
    """Return the code of this site as it stands now."""
    return ProjectCode.read(module_names())


def code_files() -> Iterator[Path]:
    """Yield all files with code of this site."""
    for name in module_names():
        yield from (path for _, path in python_files(name))


def module_names() -> list[str]:
    """Return the top-level modules and packages that are the code of this site."""
    named = {name.partition(".")[0] for name in _named_modules()} - {OWN}
    places = {name: _location(name) for name in named}
    own = {name: place for name, place in places.items() if place and not _is_installed(place)}
    beside = {name for place in set(own.values()) for name in _modules_in(place)}
    return sorted({*own, *beside} - {OWN})


def _named_modules() -> Iterator[str]:
    yield os.environ.get("DJANGO_SETTINGS_MODULE") or OWN
    yield getattr(settings, "ROOT_URLCONF", None) or OWN
    for config in apps.get_app_configs():
        yield config.name


def _location(name: str) -> Path | None:
    """Return the directory in which a top-level module or package stands."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve().parent
    return Path(spec.origin).resolve().parent if spec.has_location and spec.origin else None


def _is_installed(place: Path) -> bool:
    installed = {Path(sysconfig.get_path(name)).resolve() for name in _INSTALLED}
    return place in installed or {"site-packages", "dist-packages"} & set(place.parts) != set()


def _modules_in(place: Path) -> Iterator[str]:
    """Yield the modules and packages of a directory; one without `__init__.py` may be anything."""
    for path in place.iterdir():
        is_code = path.suffix == ".py" or (path / "__init__.py").is_file()
        if is_code and path.stem.isidentifier():
            yield path.stem
