"""What the page of signatures shows: of a public class how it is made only where users make it."""

from importlib.util import find_spec

PAGE = "reference/api"
# Modules of public names that the page has a section for, where this version has them.
MODULES = ("moi_django.signals", "moi_django.test", "moi_django.shortcuts")
SECTION = """
## {module}

```{{eval-rst}}
.. automodule:: {module}
   :members:
   :imported-members:
```
"""
# Other classes are handed out.
MADE_BY_USERS = {"moi_django.Options", "moi_django.test.MoiPage"}


def setup(app):
    app.connect("source-read", add_modules)
    app.connect("autodoc-process-signature", drop_signature)
    return {"parallel_read_safe": True}


def add_modules(app, docname, content):
    """Add a section for each public module that is there."""
    if docname == PAGE:
        found = [module for module in MODULES if find_spec(module)]
        content[0] += "".join(SECTION.format(module=module) for module in found)


def drop_signature(app, what, name, obj, options, signature, return_annotation):
    """Leave out how a class is made by the package itself."""
    if signature and what in ("class", "exception") and name not in MADE_BY_USERS:
        return "", ""
    return None
