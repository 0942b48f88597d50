"""How an engine is: what it says of itself while it has jobs, for the operator of the site."""

import json
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Vitals:
    """What an engine has said of itself."""

    # Id that ipyparallel gave to it.
    engine: str
    # Of its latest job; None when it was submitted without one.
    context: str | None = None
    host: str = ""
    pid: int = 0
    python: str = ""
    # Of its process, over half a second or more: 100.0 is one CPU.
    cpu: float | None = None
    # Bytes of memory that its process takes.
    memory: int | None = None
    # Processes of its host that want a CPU, on average of a minute, and the CPUs there are.
    load: float | None = None
    cpus: int | None = None

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, raw: bytes | None) -> Self | None:
        """Return what was written, or None when it is none of ours."""
        try:
            data = json.loads(raw or b"")
            known = [name for name in data.keys() & _KINDS.keys() if _fits(data, name)]
            return cls(**{name: data[name] for name in known})
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None


_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("engine", "context", "host", "python"), str),
    **dict.fromkeys(("pid", "memory", "cpus"), int),
    **dict.fromkeys(("cpu", "load"), (int, float)),
}


def _fits(data: dict[str, object], name: str) -> bool:
    """Tell whether a field is of the kind that it is to be; what is not counts as left out."""
    return isinstance(data[name], _KINDS[name])
