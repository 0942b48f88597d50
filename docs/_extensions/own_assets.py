"""Fail the build when a page loads anything from elsewhere: the site works without a network."""

import re
from pathlib import Path

from sphinx.errors import ExtensionError

LOADED = re.compile(
    r"<(?:script|img|source|iframe)\b[^>]*\bsrc(?:set)?=[\"'](?:https?:)?//[^\"']*"
    r"|<link\b[^>]*\brel=[\"'](?:stylesheet|preload|icon)[\"'][^>]*\bhref=[\"'](?:https?:)?//[^\"']*"
    r"|@import\s+(?:url\()?[\"']?(?:https?:)?//\S*|url\([\"']?(?:https?:)?//[^)]*"
)


def setup(app):
    app.connect("build-finished", look)
    return {"parallel_read_safe": True}


def look(app, error):
    """Look at what was written."""
    if error or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*"):
        if path.suffix in (".html", ".css") and (found := LOADED.search(path.read_text())):
            raise ExtensionError(f"{path.name} loads from elsewhere: {found[0]}")
