"""How Sphinx makes the site of these pages: `make docs`. They read well on a code host, too."""

import sys
from pathlib import Path

import django
from django.conf import settings

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_extensions")]

import moi_django  # noqa: E402

# Modules whose docstrings are shown import models of Django's.
settings.configure(
    SECRET_KEY="not used",  # noqa: S106
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "moi_django"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

project = "moi_django"
author = "The moi_django developers"
copyright = author
version = release = moi_django.__version__
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
extensions += ["code_host", "llms_txt", "own_assets", "public_names"]
exclude_patterns = ["_build"]

# Markdown.
myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]

# What docstrings say: single backticks are code, and types are those of the signature.
default_role = "code"
smartquotes = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"
# Types of others, and of ours those that are only named in signatures, have no page here.
nitpick_ignore_regex = [("py:.*", r"(?!moi_django\.\w+$).*")]

# The page.
html_theme = "furo"
html_title = f"moi_django {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
highlight_language = "text"
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
