"""What tells the code of a project from other versions of it, on the site and on its engines.

An engine imports this, which needs no Django. Code is compared by what its files hold, each
top-level module or package for itself: an engine may have only some of them, or none.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path

# Characters of a digest that are kept and shown.
DIGEST_LENGTH = 12
# Noted of what an engine does not have.
MISSING = ""
# Directories in which no code of a project is.
_SKIPPED = {"__pycache__", "node_modules", "site-packages"}


@dataclass(frozen=True)
class ProjectCode:
    """The code of a project at one time."""

    # Top-level modules and packages, with the digest of each.
    parts: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, names: Iterable[str]) -> "ProjectCode":
        """Return the code of these modules and packages as it stands on this machine now."""
        digests = {name: digest_of(name) for name in names}
        return cls(tuple(sorted((name, each) for name, each in digests.items() if each)))

    @cached_property
    def digest(self) -> str:
        """The same where all of the code is the same."""
        return _short_digest(f"{name} {digest}\n" for name, digest in self.parts)

    def find_loaded(self, loaded: dict[str, str]) -> str | None:
        """Return the digest of what an engine has loaded of this code; None when it has none of it.

        `loaded` has what was noted since it did so, and gets what was not. Code that is the same
        as far as the engine has it counts as the same.
        """
        for name, _ in self.parts:
            if name not in loaded:
                loaded[name] = digest_of(name)
        found = tuple((name, loaded[name]) for name, _ in self.parts if loaded[name] != MISSING)
        if not found:
            return None
        return self.digest if set(found) <= set(self.parts) else ProjectCode(found).digest


def digest_of(name: str) -> str:
    """Return what tells the files of a module or package from others; MISSING without any."""
    files = sorted((str(path.relative_to(root)), path) for root, path in python_files(name))
    if not files:
        return MISSING
    return _short_digest(f"{relative} {_file_digest(path)}\n" for relative, path in files)


def python_files(name: str) -> Iterator[tuple[Path, Path]]:
    """Yield the files of a top-level module or package, each after the directory that it is in."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # what is in sys.modules may have none
        return
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        if spec.has_location and spec.origin and spec.origin.endswith(".py"):
            yield Path(spec.origin).parent, Path(spec.origin)
        return
    for location in spec.submodule_search_locations:
        for directory, below, names in os.walk(location):
            below[:] = [each for each in below if each not in _SKIPPED and each[0] != "."]
            yield from (
                (Path(location).parent, Path(directory, each))
                for each in names
                if each.endswith(".py")
            )


def _short_digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()[
        :DIGEST_LENGTH
    ]


def _file_digest(path: Path) -> str:
    try:
        status = path.stat()
        return _content_digest(path, status.st_mtime_ns, status.st_size)
    except OSError:
        return MISSING  # it has just gone, or is a link to nowhere


@lru_cache(maxsize=20_000)
def _content_digest(path: Path, changed_at: int, size: int) -> str:
    """Return the digest of a file, which is not read again before it has changed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
