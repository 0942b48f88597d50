"""How a result looks: what IPython would show of it, as MIME type -> data; made on the engine."""

import base64
import json
import logging
import sys
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from moi_django.models import clean

logger = logging.getLogger(__name__)

# What a page shows as it is, from the result itself.
_PLAIN = (type(None), bool, int, float, str, bytes, list, tuple, dict, set, frozenset)


def display(value: object, limit: int) -> dict[str, str]:
    """Return the forms in which a value can be shown; none when its JSON says it all.

    Binary data is base64. Forms of more than `limit` bytes in all are left out, the longest first.
    """
    if isinstance(value, _PLAIN):
        return {}
    try:
        found, _ = _formatter().format(value)
    except Exception as error:
        logger.warning("Cannot show a result of type %s: %s", type(value), error)
        return {}
    forms = {mime: _text(data) for mime, data in found.items() if data is not None}
    while sum(map(len, forms.values())) > limit:
        del forms[max(forms, key=lambda mime: len(forms[mime]))]
    return {} if forms.keys() <= {"text/plain"} else forms


def _text(data: Any) -> str:
    if isinstance(data, bytes):
        return base64.b64encode(data).decode()
    return clean(data) if isinstance(data, str) else json.dumps(data)


def _formatter() -> Any:
    """Return the formatter of the engine's IPython, or a bare one."""
    from IPython import get_ipython

    shell = get_ipython() or _bare_shell()
    if "matplotlib.figure" in sys.modules:
        from IPython.core.pylabtools import select_figure_formats

        select_figure_formats(shell, {"png"})
    return shell.display_formatter


@lru_cache(maxsize=1)
def _bare_shell() -> Any:
    from IPython.core.formatters import DisplayFormatter

    return SimpleNamespace(display_formatter=DisplayFormatter())
