"""Send any Python function to an IPython cluster from Django and watch it live in the page.

Importing this package imports nothing else: an engine without Django, a settings module and
`manage.py` all may import it at no cost. The names below are loaded when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moi_django.calls import system_call
    from moi_django.current import CurrentJob, attach, current_job, progress, track
    from moi_django.exceptions import MoiError
    from moi_django.jobs import Group, Job, asubmit, ctx_default, submit, submit_nouser
    from moi_django.options import Options

__version__ = "0.3.0"

_HOMES = {
    "CurrentJob": "current",
    "Group": "jobs",
    "Job": "jobs",
    "MoiError": "exceptions",
    "Options": "options",
    "asubmit": "jobs",
    "attach": "current",
    "ctx_default": "jobs",
    "current_job": "current",
    "progress": "current",
    "submit": "jobs",
    "submit_nouser": "jobs",
    "system_call": "calls",
    "track": "current",
}

__all__ = [
    "CurrentJob",
    "Group",
    "Job",
    "MoiError",
    "Options",
    "asubmit",
    "attach",
    "ctx_default",
    "current_job",
    "progress",
    "submit",
    "submit_nouser",
    "system_call",
    "track",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the module that defines it (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
