"""Code of a project is told from other versions of it, wherever it stands."""

import shutil
import subprocess
import sys

import pytest

from moi_django.contrib.reloading.project_code import MISSING, ProjectCode, digest_of
from moi_django.contrib.reloading.site_code import code_files, module_names
from tests.helpers.processes import ROOT, environment

NAMES = ("labcode", "labtool")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with a package and a module."""
    package = tmp_path / "labcode"
    (package / "deep").mkdir(parents=True)
    for name in ("__init__.py", "models.py", "deep/work.py"):
        (package / name).write_text(f"# {name}")
    (tmp_path / "labtool.py").write_text("x = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_it_is_what_its_files_hold_and_not_where_or_when(project, tmp_path_factory, monkeypatch):
    before = ProjectCode.read(NAMES)
    assert [name for name, _ in before.parts] == ["labcode", "labtool"]
    other = tmp_path_factory.mktemp("other") / "place"
    shutil.copytree(project, other)
    monkeypatch.setattr(sys, "path", [str(other), *sys.path])
    assert ProjectCode.read(NAMES) == before
    (other / "labcode" / "__pycache__").mkdir()
    for name in ("__pycache__/x.py", "notes.txt"):
        (other / "labcode" / name).write_text("x")
    assert ProjectCode.read(NAMES).digest == before.digest
    assert ProjectCode.read(["labtool"]).digest != before.digest


@pytest.mark.parametrize("name", ["labcode/deep/work.py", "labcode/new.py", "labtool.py"])
def test_a_change_makes_it_another(project, name):
    before = ProjectCode.read(NAMES).digest
    (project / name).write_text("y = 2")
    assert ProjectCode.read(NAMES).digest != before


@pytest.mark.parametrize("name", ["labnothing", "sys"])
def test_what_has_no_files_has_none(project, name):
    assert digest_of(name) == MISSING
    assert ProjectCode.read([name]).parts == ()


def test_an_engine_compares_what_it_has(project):
    code = ProjectCode.read(NAMES)
    (project / "labtool.py").unlink()  # it has only a part of it
    notes = {}
    assert code.find_loaded(notes) == code.digest
    # What it has loaded stays so, whatever is on disk by now.
    (project / "labcode" / "models.py").write_text("x = 2")
    newer = ProjectCode.read(NAMES)
    assert code.find_loaded(notes) == code.digest
    found = newer.find_loaded(notes)
    assert found not in (None, newer.digest, code.digest)
    assert newer.find_loaded({}) == newer.digest
    shutil.rmtree(project / "labcode")
    assert code.find_loaded({}) is None


def test_the_code_of_a_site_stands_beside_its_settings_and_apps():
    names = module_names()
    assert "tests" in names
    assert not {"moi_django", "django", "channels", "pytest"} & set(names)
    assert ROOT / "tests" / "settings.py" in set(code_files())


def test_an_engine_needs_no_django_for_it():
    code = "import sys, moi_django.contrib.reloading.project_code as m; assert m.ProjectCode(())"
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}; print('django' in sys.modules)"],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (ran.stdout, ran.stderr) == ("False\n", "")
