"""The modules of the script: each page loads those that its elements need, and no module twice."""

import re

import pytest

from tests.helpers.package import PACKAGE, static_files

TEMPLATES = PACKAGE / "templates" / "moi_django"
# What a page loads: ours have {% moi_assets %} in their head, the panel is a page of the admin.
PAGES = {
    "a page with a status div": ["assets.html"],
    "the page of a job": ["assets.html", "job.html"],
    "the panel": ["admin/panel.html"],
}


def loaded(page):
    """Return the names of the modules that a page loads, in their order."""
    texts = [(TEMPLATES / name).read_text() for name in PAGES[page]]
    return re.findall(r'{% moi_module "(\w+)" %}', "".join(texts))


def imported(name):
    """Return the names of the modules that a module imports."""
    return re.findall(r'moiModule\("(\w+)"\)', static_files(".js")[f"{name}.js"].read_text())


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_what_its_modules_import(page):
    names = loaded(page)
    assert {found for name in names for found in imported(name)} <= set(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_first_what_lets_modules_find_each_other(page):
    assert loaded(page)[0] == "module_loader"


def test_every_script_is_loaded_somewhere():
    assert {f"{name}.js" for page in PAGES for name in loaded(page)} == set(static_files(".js"))


@pytest.mark.parametrize("name", static_files(".js"))
def test_no_module_knows_the_path_of_another(name):
    """Which may have a hash in it; and only one says how a module is found."""
    text = static_files(".js")[name].read_text()
    assert not re.search(r"^\s*(import|export)\b.*\bfrom\b", text, re.MULTILINE)
    assert ("import(" in text) == (name == "module_loader.js")
