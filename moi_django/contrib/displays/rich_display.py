"""How a result looks: what IPython would show of it, as MIME type -> data; made in the job."""

import base64
import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from moi_django.validation import escape_surrogates

PLAIN = "text/plain"
# Behind the MIME type of an image: its width and height in CSS pixels, such as "640 480".
SIZE = ";size"
# What a page shows as it is, from the result itself; not what inherits from them, which may know
# better how it looks.
_PLAIN_TYPES = (type(None), bool, int, float, str, bytes, list, tuple, dict, set, frozenset)


def display_forms(value: object, limit: int) -> dict[str, str]:
    """Return the forms in which a value can be shown; none when its JSON says it all.

    Binary data is base64. Forms of more than `limit` bytes in all are left out, the longest first.
    What cannot be shown is told on stderr: it is no reason for a job to fail.
    """
    if type(value) in _PLAIN_TYPES:
        return {}
    try:
        forms = _mime_forms(value) if _has_forms(value) else {}
        if any(name.endswith(SIZE) for name in forms) and sum(map(len, forms.values())) > limit:
            forms = _mime_forms(value, "png")  # better less sharp than not at all
        forms = _cut_to_limit(limit, forms)
    except KeyboardInterrupt:
        raise  # the job is cancelled or takes too long
    except BaseException:
        _print_error("The result cannot be shown as it would like to be:", traceback.format_exc())
        return {}
    return {} if forms.keys() <= {PLAIN} else forms


def _mime_forms(value: object, figures: str = "retina") -> dict[str, str]:
    """Return all forms of a value; a figure is as sharp as screens are unless told otherwise."""
    with _display_formatter(figures) as formatter:
        found, described = formatter.format(value)
    forms = {}
    for mime, data in found.items():
        if data is None:
            continue
        try:
            forms[mime] = _form_text(data)
        except (TypeError, ValueError) as error:
            _print_error(f"The result cannot be shown as {mime}: {error}")
        size = [described.get(mime, {}).get(side) for side in ("width", "height")]
        if all(isinstance(pixels, int) for pixels in size):
            forms[f"{mime}{SIZE}"] = "{} {}".format(*size)
    return forms


def _has_forms(value: object) -> bool:
    """Tell whether IPython, which takes long to import, may know more of a value than its repr."""
    if "IPython.core.formatters" in sys.modules or "matplotlib.figure" in sys.modules:
        return True
    return any(name.startswith(("_repr_", "_ipython_display_")) for name in dir(type(value)))


def _form_text(data: Any) -> str:
    if isinstance(data, bytes):
        return base64.b64encode(data).decode()
    return escape_surrogates(data) if isinstance(data, str) else json.dumps(data)


def _cut_to_limit(limit: int, forms: dict[str, str]) -> dict[str, str]:
    while sum(map(len, forms.values())) > limit:
        longest = max(forms, key=lambda mime: len(forms[mime]))
        length = len(forms.pop(longest))
        forms.pop(f"{longest}{SIZE}", None)
        _print_error(
            f"The result is not shown as {longest}: that takes {length:,} bytes, and "
            f"MOI['DISPLAY_LIMIT'] is {limit:,}."
        )
    return forms


def _print_error(*lines: str) -> None:
    """Say something to who looks at the output of the job."""
    sys.stderr.write("".join(f"{line.rstrip()}\n" for line in lines))


@contextmanager
def _display_formatter(figures: str) -> Iterator[Any]:
    """Give the formatter of the IPython of this process, or a bare one; its errors are told."""
    from IPython import get_ipython

    shell = get_ipython() or _bare_shell()
    if "matplotlib.figure" in sys.modules:
        from IPython.core.pylabtools import select_figure_formats

        select_figure_formats(shell, {figures})
    # IPython goes on with the other forms, and would show the error in a notebook.
    shell.showtraceback = lambda error: _print_error(*traceback.format_exception(*error))
    try:
        yield shell.display_formatter
    finally:
        del shell.showtraceback


@lru_cache(maxsize=1)
def _bare_shell() -> Any:
    from IPython.core.formatters import DisplayFormatter

    return SimpleNamespace(display_formatter=DisplayFormatter())
