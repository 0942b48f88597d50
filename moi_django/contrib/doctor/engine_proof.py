"""What an engine proves before it takes a job: that it can run those of this site at all.

An engine that cannot would fail one job after the other faster than the others run them. The site
says what it has, and its engines, which import this without Django, compare.
"""

import importlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import moi_django
from moi_django.engine.process_pool import ProcessPool

# How many numbers of a version have to be the same.
COMPARED = {"moi_django": 2, "ipyparallel": 1}
# Seconds for which a refusal holds: less than after which the site asks again.
RECHECK = 25.0


@dataclass(frozen=True, slots=True)
class EngineProof:
    """What an engine has to have."""

    # Package -> its version on the site.
    versions: tuple[tuple[str, str], ...]
    # Top-level modules and packages that it has to find.
    imports: tuple[str, ...]

    def find_refusal(self, pool: ProcessPool) -> str | None:
        """Return why this engine cannot run jobs of the site; None when it can.

        A refusal holds for a while; all is looked at anew then. Raises NoProcess.
        """
        until, refusal = _refusals.get(self, (0.0, None))
        if refusal and time.monotonic() < until:
            return refusal
        if refusal:
            pool.close()  # the next one imports all anew
            importlib.invalidate_caches()
        refusal = self._differing_version() or self._missing_import()
        if refusal is None:
            refusal = pool.check().problem
        _refusals[self] = (time.monotonic() + RECHECK, refusal)
        return refusal

    def _differing_version(self) -> str | None:
        for package, wanted in self.versions:
            found = own_version(package)
            if not is_compatible(package, found, wanted):
                return f"{package} is {found or 'missing'} here and {wanted} on the site"
        return None

    def _missing_import(self) -> str | None:
        for name in self.imports:
            if not is_found(name):
                path = os.environ.get("PYTHONPATH") or "not set"
                return f"there is no module {name!r}, code of the site (PYTHONPATH: {path})"
        return None


# Until when, and why, an engine refuses the jobs of a site.
_refusals: dict[EngineProof, tuple[float, str | None]] = {}


@lru_cache
def own_version(package: str) -> str:
    """Return the version of a package that is here; nothing when there is none."""
    if package == "moi_django":
        return moi_django.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def is_compatible(package: str, found: str, wanted: str) -> bool:
    """Tell whether an engine with one version may work for a site with another."""
    count = COMPARED[package]
    return not wanted or found.split(".")[:count] == wanted.split(".")[:count]


def is_found(name: str) -> bool:
    """Tell whether a top-level module could be imported."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def roots(names: Iterable[str]) -> tuple[str, ...]:
    """Return the top-level modules and packages of modules."""
    return tuple(sorted({name.partition(".")[0] for name in names}))


def describe_proof() -> EngineProof:
    """Return what engines of this site have to have."""
    from moi_django.conf import conf

    named: Any = conf.ENGINE_IMPORTS
    if named is None:
        module = os.environ.get("DJANGO_SETTINGS_MODULE")
        named = [module] if module else []
    versions = tuple((package, own_version(package)) for package in COMPARED)
    return EngineProof(versions, roots([*named, *conf.PRELOAD]))
