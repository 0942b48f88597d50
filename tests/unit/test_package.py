"""The package as a whole: its layers, what importing it does, what the wheel contains."""

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tokenize
import zipfile
from functools import cache
from importlib.util import find_spec

import pytest
from django.conf import global_settings

import moi_django
from tests.helpers.package import PACKAGE, static_files
from tests.helpers.processes import ROOT

# The parts of the package in their order: a part imports only those above it, or within itself.
PARTS = [
    [name.rstrip("/") for name in re.findall(r"`([\w/]+)`", row)]
    for row in re.findall(r"^\| ([^|]+) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    if row.startswith("`")
]
PART_OF = {name: index for index, names in enumerate(PARTS) for name in names}


@cache
def modules():
    """Return the name and the path of each module that has content."""
    paths = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


@cache
def imports(path):
    """Return the modules that a file imports, and whether it does so when it is imported."""
    tree = ast.parse(path.read_text())
    at_once = {id(node) for node in ast.iter_child_nodes(tree)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(name.name, id(node) in at_once) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
            found += [(name, id(node) in at_once) for name in names]
    return found


def own_imports(name):
    """Return the modules of ours that one imports; the store's name stands for its module."""
    for imported, _ in imports(modules()[name]):
        own = imported.removeprefix("moi_django.").removesuffix(".StoreConfig")
        own = own.replace("store.Store", "store.store")
        if own in modules():
            yield own


def part_of(name):
    return PART_OF[name.split(".")[0]]


def test_the_table_of_parts_names_every_module():
    assert set(PART_OF) == {name.split(".")[0] for name in modules()}


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_only_parts_above_its_own(name):
    for own in own_imports(name):
        assert part_of(own) <= part_of(name), f"{name} imports {own}"


def test_no_modules_import_each_other():
    left = {name: set(own_imports(name)) for name in modules()}
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    assert not left


# What engines import of the optional parts.
ENGINE_PARTS = [
    "attachments.storage",
    "attachments.delivery",
    "doctor.engine_proof",
    "displays.rich_display",
    "tracing.attempt_spans",
]


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in modules() if part_of(name) <= PART_OF["engine"]),
        *(f"contrib.{name}" for name in ENGINE_PARTS),
    ],
)
def test_an_engine_needs_no_django(name):
    at_once = {imported for imported, now in imports(modules()[name]) if now}
    assert not [module for module in at_once if module.split(".")[0] in ("django", "channels")]


def test_no_test_file_imports_another():
    for path in (ROOT / "tests").rglob("*.py"):
        for imported, _ in imports(path):
            assert not re.match(r"tests(\.\w+)?\.test_", imported or ""), (
                f"{path} imports {imported}"
            )


def test_what_talks_to_ipyparallel_is_one_module_of_the_core_and_what_runs_clusters():
    users = {
        name
        for name, path in modules().items()
        if any(module.split(".")[0] == "ipyparallel" for module, _ in imports(path))
    }
    clusters = {"contrib.clusters.controller", "contrib.clusters.engine"}
    clusters.add("contrib.doctor.engine_checks")
    assert users == {"cluster.ipyparallel_adapter", "contrib.services.local_cluster", *clusters}


@pytest.mark.parametrize("path", modules().values(), ids=modules())
def test_no_module_outgrows_its_reader(path):
    assert len(path.read_text().splitlines()) <= 400


SCOPES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# What the words of ours name of other programs.
FOREIGN_NAMES = {"head", "startproject"}


@cache
def docstrings(path):
    """Return the docstrings of a file as the nodes that they are."""
    scopes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, SCOPES)]
    return [scope.body[0].value for scope in scopes if ast.get_docstring(scope) is not None]


def prose(path):
    """Yield the docstrings and comments of a file."""
    yield from (each.value for each in docstrings(path))
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.string


@cache
def strings(path):
    """Return the texts in a file but for docstrings."""
    places = {(each.lineno, each.col_offset) for each in docstrings(path)}
    return {
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if (node.lineno, node.col_offset) not in places
    }


@cache
def names_in(path):
    """Return every name in the code of a file, and every word in its texts."""
    found = {word for text in strings(path) for word in re.findall(r"\w+", text)}
    for node in ast.walk(ast.parse(path.read_text())):
        for kind in ("name", "id", "attr", "arg", "module"):
            if isinstance(name := getattr(node, kind, None), str):
                found.update(name.split("."))
    return found


@cache
def names_known_everywhere():
    """Return what may be named without saying where it is, as no method of a class may."""
    found = {part for name in modules() for part in name.split(".")} | members()["Info"]
    for path in modules().values():
        found |= {
            node.name for node in ast.parse(path.read_text()).body if isinstance(node, SCOPES[1:])
        }
        found |= {text for text in strings(path) if text.isidentifier() and "_" in text}
    for path in PACKAGE.rglob("*.lua"):
        found.update(re.findall(r"\w+", re.sub("--.*", "", path.read_text())))
    for path in static_files(".js").values():
        found.update(re.findall(r"\bmoi[A-Z]\w+", path.read_text()))
    return found


@cache
def members():
    """Return what each class of the package has of its own."""
    found = {}
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                names = {each.name for each in node.body if isinstance(each, SCOPES)}
                names |= {each.target.id for each in node.body if isinstance(each, ast.AnnAssign)}
                found.setdefault(node.name, set()).update(names)
    return found


@pytest.mark.parametrize("path", modules().values(), ids=modules())
def test_docstrings_and_comments_name_what_there_is(path):
    """A bare name is of its module or at the top of one; a method elsewhere is `Class.method`."""
    known = names_in(path) | names_known_everywhere() | FOREIGN_NAMES
    constants = {name for each in modules().values() for name in names_in(each)}
    for text in prose(path):
        assert set(re.findall(r"`([a-z_]\w*)(?:\([^`]*\))?`", text)) <= known, text
        for name in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text):
            assert name in constants or hasattr(global_settings, name), text
        for name, member in re.findall(r"`([A-Z]\w+)\.(\w+)(?:\([^`]*\))?`", text):
            assert name not in members() or member in members()[name], text


@pytest.mark.parametrize("name", [*static_files(".js"), *static_files(".css")])
def test_no_script_or_style_outgrows_its_reader(name):
    path = {**static_files(".js"), **static_files(".css")}[name]
    assert len(path.read_text().splitlines()) <= 400


def test_the_script_stays_small():
    scripts = static_files(".js").values()
    assert len(scripts) > 10
    assert sum(len(path.read_text().splitlines()) for path in scripts) < 2000


def run(code, **env):
    """Run code in a Python of its own and return what it prints as JSON."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DJANGO")}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_importing_the_package_imports_nothing_else():
    code = "import json, sys, moi_django; print(json.dumps(list(sys.modules)))"
    loaded = set(run(code))
    assert "moi_django" in loaded
    assert not loaded & {"django", "redis", "channels", "ipyparallel", "cloudpickle"}
    assert not [name for name in loaded if name.startswith("moi_django.")]


def test_an_engine_without_django_imports_no_django():
    code = "import json, sys, moi_django.engine.worker; print(json.dumps(list(sys.modules)))"
    loaded = set(run(code))
    assert not loaded & {"django", "channels", "ipyparallel"}


def test_an_engine_of_a_context_imports_no_django():
    names = ["moi_django.contrib.clusters.engine", "moi_django.contrib.clusters.host_processes"]
    code = f"import json, sys, {', '.join(names)}; print(json.dumps(list(sys.modules)))"
    assert not set(run(code)) & {"django", "channels"}


def test_importing_opens_and_starts_nothing(tmp_path):
    # Django 5.2 has no tasks without their backport.
    has_tasks = find_spec("django.tasks") or find_spec("django_tasks")
    importable = [name for name in modules() if has_tasks or "tasks" not in name.split(".")]
    code = f"""
import django, json, os, psutil, threading
django.setup()
for name in {importable!r}:
    __import__("moi_django." + name)
process = psutil.Process()
print(json.dumps([threading.active_count(), len(process.net_connections("all")),
                  len(process.children()), os.listdir({str(tmp_path)!r})]))
"""
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings", "MOI_TEST_DIR": str(tmp_path)}
    assert run(code, **env) == [1, 0, 0, []]


def test_every_public_name_can_be_had():
    for name in moi_django.__all__:
        assert getattr(moi_django, name).__doc__
        assert name in dir(moi_django)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = moi_django.nonsense


def test_the_wheel_has_all_that_a_site_needs(tmp_path):
    source = tmp_path / "source"
    # Databases of other tests come and go meanwhile.
    others = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "docs", "*.sqlite3*")
    shutil.copytree(ROOT, source, ignore=others)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source],
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    wanted = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "moi_django/py.typed" in wanted
    assert "moi_django/templates/moi_django/_job.html" in wanted
    assert "moi_django/static/moi_django/moi.js" in wanted
    assert {name for name in names if not name.startswith("moi_django-")} == wanted
    [metadata] = [name for name in names if name.endswith("/METADATA")]
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    assert f"Version: {moi_django.__version__}" in text
    assert "Requires-Python: >=3.11" in text
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_commands_say_what_they_do():
    def do(*arguments):
        return subprocess.run(
            [sys.executable, str(ROOT / "run.py"), *arguments], capture_output=True, text=True
        )

    targets = set((ROOT / "Makefile").read_text().splitlines()[0].split()[1:])
    for arguments in ([], ["help"]):
        ran = do(*arguments)
        assert ran.returncode == 0
        assert set(re.findall(r"run\.py ([\w-]+)", ran.stdout)) == targets - {"help"}
    assert do("nonsense").returncode == 2


def test_the_demo_has_what_a_terminal_is_drawn_with():
    written = configparser.ConfigParser()
    written.read(ROOT / "setup.cfg")
    assert "moi_django[embedded,terminal,schedule]" in written["options.extras_require"]["demo"]
