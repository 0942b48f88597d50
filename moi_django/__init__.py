"""Send any Python function to an IPython cluster from Django and watch it live in the page.

Importing this package imports nothing else: an engine without Django, a settings module and
`manage.py` all may import it at no cost. The names below are loaded when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moi_django.contrib.job_functions.decorator import JobFunction, job
    from moi_django.engine.calls import system_call
    from moi_django.engine.current import (
        CurrentJob,
        attach,
        checkpoint,
        current_job,
        progress,
        resume,
        track,
    )
    from moi_django.exceptions import MoiError
    from moi_django.jobs.api import Group, Job, asubmit, ctx_default, submit, submit_nouser
    from moi_django.options import Options

__version__ = "0.4.0"

# Module -> the public names that it defines.
_NAMES = {
    "engine.calls": "system_call",
    "engine.current": "CurrentJob attach checkpoint current_job progress resume track",
    "exceptions": "MoiError",
    "jobs.api": "Group Job asubmit ctx_default submit submit_nouser",
    "contrib.job_functions.decorator": "JobFunction job",
    "options": "Options",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["CurrentJob", "Group", "Job", "JobFunction", "MoiError", "Options", "asubmit", "attach"]
__all__ += ["checkpoint", "ctx_default", "current_job", "job", "progress", "resume", "submit"]
__all__ += ["submit_nouser", "system_call", "track"]


def __getattr__(name: str) -> Any:
    """Load a public name from the module that defines it (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
