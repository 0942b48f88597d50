"""Run Python code that is given as text, as a function that a job can run as it is.

It needs neither Django nor Redis: it runs on engines.
"""

import ast
import textwrap
from types import CodeType
from typing import Any

from moi_django.engine.current import current_job


def python_call(source: str, /, **kwargs: Any) -> Any:
    """Run Python code as the body of a function and return what it returns.

    What a function of a job can ask for by keyword is there by name: `status_update("half way")`.
    Raises SyntaxError as `check_python` does.
    """
    job = current_job()
    offered = job.keywords if job is not None else {}
    namespace: dict[str, Any] = {"__name__": "__moi__", **offered, **kwargs}
    exec(_compile_function(source), namespace)  # noqa: S102 - the code of the user who submits it
    return namespace["execwrapper"]()


def check_python(source: str) -> None:
    """Raise SyntaxError when `python_call` could not run this source."""
    _compile_function(source)


def _compile_function(source: str) -> CodeType:
    """Compile source to a module that defines `execwrapper`, its lines numbered as typed."""
    try:
        module = ast.parse("def execwrapper(): pass")
        module.body[0].body = _parse_statements(source)  # type: ignore[attr-defined]
        return compile(module, "<string>", "exec")
    except (ValueError, RecursionError, MemoryError) as error:
        # How Python says that there are lone surrogates or null bytes, or that it nests too deep.
        raise SyntaxError(str(error) or "the code is nested too deep") from error


def _parse_statements(source: str) -> list[ast.stmt]:
    try:
        statements = ast.parse(source, "<string>").body
    except IndentationError:
        # Code that was cut out of an indented place, as in a shell script.
        statements = ast.parse(textwrap.dedent(source), "<string>").body
    if not statements:
        raise SyntaxError("there is no statement to run")
    return statements
