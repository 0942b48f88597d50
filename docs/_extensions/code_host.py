"""Pages are written for a code host; this makes of them what Sphinx wants.

Links to the pages beside the README lead to their copies in the site. A `<picture>` with a dark
source becomes two pictures, as the reader may choose light or dark here. What is marked as HTML is
read as a template of Django's, which it may be.
"""

import re
from pathlib import PurePosixPath

from pygments.lexers.templates import HtmlDjangoLexer

PICTURE = re.compile(
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\s*'
    r'<img alt="([^"]*)" src="([^"]+)"([^>]*)>\s*</picture>'
)
# Beside the README: the page of the site that includes it.
COPIES = {
    "CHANGELOG.md": "project/changes.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
}
OUTSIDE = re.compile(rf"\]\((?:\.\./)+({'|'.join(COPIES)})")


def setup(app):
    app.add_lexer("html", HtmlDjangoLexer)
    app.connect("source-read", change_page)
    app.connect("include-read", change_included)
    return {"parallel_read_safe": True}


def change_page(app, docname, content):
    """Change the source of a page."""
    up = "../" * (len(PurePosixPath(docname).parts) - 1)
    content[0] = OUTSIDE.sub(to_copy(up), PICTURE.sub(two_pictures, content[0]))


def change_included(app, path, docname, content):
    """Change what a page includes of the files beside the README."""
    content[0] = re.sub(rf"\]\(({'|'.join(COPIES)})", to_copy("../"), content[0])


def to_copy(up):
    """Return what makes a link to a file beside the README one to its copy."""
    return lambda found: f"]({up}{COPIES[found[1]]}"


def two_pictures(found):
    """Return a light and a dark picture for one with two sources."""
    dark, alt, light, rest = found.groups()
    return "\n\n".join(
        f'<img alt="{alt}" src="{path}" class="only-{scheme}"{rest}>'
        for path, scheme in ((light, "light"), (dark, "dark"))
    )
