"""The package as a whole: its layers, what importing it does, what the wheel contains."""

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import moi_django

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "moi_django"

# A module imports only what stands above it or before it in its line; a package is one layer.
TREE = """
    exceptions models options
    store: keys scripts pool queues reader pager leavings vitals figures store logs
    engine: encoding current calls files bars display pickles invoke
    engine: descriptors output reporter speaker meter keeper run
    rundir conf site owners access layers
    cluster: client payloads dispatch reconciler fleet
    jobs: commits births api acts
    bridge: forest news bridge
    protocol: verbs sessions window outbox watching tail
    consumers routing origin asgi
    pages: measures numerals durations addresses trees results plain downloads status_div views
    urls
    templatetags: moi
    panel: listing plots bulk views
    permissions admin
    terminal: transcript overview draw
    services: pdeath embedded local_cluster serve sweeper up
    checks: install site
    apps
    management: arguments commands.moi
"""
LAYERS = [
    f"{package}.{name}" if package else name
    for package, names in re.findall(r"^ +(?:(\w+): )?(.+)$", TREE, re.MULTILINE)
    for name in names.split()
]
# What an engine may need runs without Django.
WITHOUT_DJANGO = LAYERS[: LAYERS.index("engine.run") + 1]


def modules():
    """Return the name and the path of each module that has content."""
    paths = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


def imports(path):
    """Return the modules that a file imports, and whether it does so when it is imported."""
    tree = ast.parse(path.read_text())
    at_once = {id(node) for node in ast.iter_child_nodes(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, id(node) in at_once) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module, id(node) in at_once
            yield from ((f"{node.module}.{name.name}", id(node) in at_once) for name in node.names)


def test_the_layers_name_every_module():
    assert set(LAYERS) == set(modules())


@pytest.mark.parametrize("name", LAYERS)
def test_a_module_imports_only_what_stands_above_it(name):
    for imported, _ in imports(modules()[name]):
        own = imported.removeprefix("moi_django.").replace("store.Store", "store.store")
        if own in LAYERS:
            assert LAYERS.index(own) < LAYERS.index(name), f"{name} imports {own}"


@pytest.mark.parametrize("name", WITHOUT_DJANGO)
def test_an_engine_needs_no_django(name):
    at_once = {imported for imported, now in imports(modules()[name]) if now}
    assert not [module for module in at_once if module.split(".")[0] in ("django", "channels")]


def test_one_module_talks_to_ipyparallel_and_one_describes_a_local_cluster():
    users = {
        name
        for name, path in modules().items()
        if any(module.split(".")[0] == "ipyparallel" for module, _ in imports(path))
    }
    assert users == {"cluster.client", "services.local_cluster"}


@pytest.mark.parametrize("path", modules().values(), ids=modules())
def test_no_module_outgrows_its_reader(path):
    assert len(path.read_text().splitlines()) <= 400


def static(suffix):
    """Return the path of each static file of a kind, by its name."""
    return {path.name: path for path in sorted((PACKAGE / "static").rglob(f"*{suffix}"))}


@pytest.mark.parametrize("name", [*static(".js"), *static(".css")])
def test_no_script_or_style_outgrows_its_reader(name):
    path = {**static(".js"), **static(".css")}[name]
    assert len(path.read_text().splitlines()) <= 400


def test_the_script_stays_small():
    scripts = static(".js").values()
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
    code = "import json, sys, moi_django.engine.run; print(json.dumps(list(sys.modules)))"
    loaded = set(run(code))
    assert not loaded & {"django", "channels", "ipyparallel"}


def test_importing_opens_and_starts_nothing(tmp_path):
    code = f"""
import django, json, os, psutil, threading
django.setup()
for name in {LAYERS!r}:
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
        assert set(re.findall(r"run\.py (\w+)", ran.stdout)) == targets - {"help"}
    assert do("nonsense").returncode == 2


def test_the_demo_has_what_a_terminal_is_drawn_with():
    written = configparser.ConfigParser()
    written.read(ROOT / "setup.cfg")
    assert "moi_django[embedded,terminal]" in written["options.extras_require"]["demo"]
