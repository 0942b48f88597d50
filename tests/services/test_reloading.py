"""Code that changes: on engines that are asked to load it, and all by itself in `moi up`."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request

import psutil
import pytest

from moi_django import ctx_default, submit
from moi_django.conf import conf
from moi_django.contrib.reloading.restarts import RestartCaller
from moi_django.contrib.reloading.site_code import read_code
from moi_django.models import State
from moi_django.store import policy
from tests.helpers.held_job import Held
from tests.helpers.processes import ROOT, environment, manage, wait_for
from tests.helpers.services import up

FILES = {
    "labsettings.py": "from tests.settings import *\n"
    "INSTALLED_APPS = ['lab', *INSTALLED_APPS]\nROOT_URLCONF = 'lab.urls'\nDEBUG = True\n",
    "lab/__init__.py": "",
    "lab/models.py": "VALUE = 1\n",
    "lab/urls.py": "from django.shortcuts import render\nfrom django.urls import path\n"
    "from lab.models import VALUE\n"
    "urlpatterns = [path('', lambda request: render(request, 'lab.html', {'value': VALUE}))]\n",
    "lab/templates/lab.html": "one {{ value }}",
}
# What an engine has loaded, by whoever asks.
ASK = ("moi", "submit", "--cmd=from lab.models import VALUE; return VALUE", "--block", "--json")


@pytest.fixture
def project(tmp_path):
    """The environment of commands in a project of its own, with files to be changed."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    env = {
        "MOI_TEST_DIR": str(tmp_path),
        "MOI_TEST_DATABASE": str(tmp_path / "db.sqlite3"),
        "DJANGO_SETTINGS_MODULE": "labsettings",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
    }
    assert manage("migrate", "-v0", **env).returncode == 0
    return env


def told(*arguments, **env):
    ran = manage(*arguments, **env)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def shows(url, text):
    """Tell whether a page is as given; not while its server ends."""
    try:
        with urllib.request.urlopen(url, timeout=20) as page:
            return page.read().decode() == text
    except OSError:
        return False


def test_all_of_a_site_follows_its_code_and_its_jobs_outlive_it(project, tmp_path):
    models, urls = tmp_path / "lab/models.py", tmp_path / "lab/urls.py"
    with up(project, "--no-server", "--no-reload") as (process, line):
        line("ready")
        job = told(*ASK, **project)
        assert (job["result"], job["code"]) == (1, job["engine_code"])
        models.write_text("VALUE = 2\n")
        # Nothing loads it by itself, and it is said.
        job = told(*ASK, **project)
        assert (job["result"], job["code"] == job["engine_code"]) == (1, False)
        [engine] = told("moi", "engines", "--json", **project)
        assert (engine["code"], engine["has_other_code"]) == (job["engine_code"], True)
        assert told("moi", "engines", "restart", "--json", **project)[0]["code"] == job["code"]
        job = told(*ASK, **project)
        assert (job["result"], job["code"]) == (2, job["engine_code"])
        # One runs and one waits when all of it is killed.
        command = ("moi", "submit", "--json", "--cmd-type=system")
        lost = told(*command, "--cmd=sleep 600", **project)["id"]
        line(f"{lost}.*Running")
        kept = told(*command, "--cmd=echo kept", **project)["id"]
        process.kill()
        process.wait()
    with up(project, "--bind=127.0.0.1:0") as (process, line):
        url = line(r"ready +(http://127.0.0.1:\d+/) ")[1]
        assert shows(url, "one 2")
        (tmp_path / "lab/templates/lab.html").write_text("two {{ value }}")
        wait_for(lambda: shows(url, "two 2"), "the new template")
        # What waited runs, and what ran has ended.
        line(f"{kept}.*Success")
        show = ("moi", "job", f"--job-id={lost}", "--json")
        wait_for(lambda: told(*show, **project)["state"] == "lost")
        models.write_text("VALUE = (\n")
        line("reload +.*lab/models.py changed and cannot be loaded")
        assert shows(url, "two 2")
        # Views are what Django itself loads as late as for a request.
        urls.write_text("import lab.nowhere\n")
        models.write_text("VALUE = 2\n")
        line("reload +.*lab/.* changed and cannot be loaded")
        assert shows(url, "two 2")
        urls.write_text(FILES["lab/urls.py"])
        line("lab/urls.py changed: the site starts anew")
        models.write_text("VALUE = 3\n")
        line("lab/models.py changed: the site starts anew, jobs that begin now run the new code")
        wait_for(lambda: shows(url, "two 3"), "the new code")
        assert told(*ASK, **project)["result"] == 3
        process.terminate()
        assert process.wait(20) == 0
        errors = process.stderr.read()
        assert "SyntaxError" in errors and "No module named 'lab.nowhere'" in errors
        data = tmp_path / ".moi/redis"
        for path in (data, *data.rglob("*")):
            assert not path.stat().st_mode & 0o077, path
    ran = manage("moi", "up", "--fresh", MOI_REDIS_URL="redis://127.0.0.1:1", **project)
    assert ran.returncode == 2
    assert "--fresh is for the Redis of `moi up`, not for redis://127.0.0.1:1" in ran.stderr
    with up(project, "--fresh", "--no-server") as (process, line):
        line("redis")
        assert not (data / "appendonlydir" / "appendonly.aof.1.incr.aof").stat().st_size


@pytest.fixture
def env(site_env, own_cluster):
    own_cluster(1)
    return {**site_env, "MOI_CONNECTION_FILE": conf.context("default")["connection_file"]}


@pytest.mark.django_db(transaction=True)
def test_an_engine_restarts_when_its_job_has_ended(env, store, tmp_path):
    held = Held(tmp_path, "holds")
    before = psutil.Process(held.pid).parent()
    engine = held.job.refresh().info.engine
    store.policy.start(policy.restart("of-long-ago"))
    ran = manage("moi", "engines", "restart", "--timeout=0", **env)
    assert (ran.returncode, ran.stdout.count("its job runs to its end first")) == (1, 1)
    assert re.fullmatch(
        rf"Not yet: \S+:\d+ \({engine[:8]}\)\. What was asked loads.*\n", ran.stderr
    )
    waiting = submit(ctx_default, "ada", "waits", None, os.getppid)
    listed = manage("moi", "engines", **env).stdout
    assert f"Code of the site: {read_code().digest}\n" in listed
    assert re.search(
        r"busy \(to be restarted\) +default +\w{12} \(that of the site\) +hold", listed
    )
    restarting = subprocess.Popen(
        [sys.executable, "-m", "django", "moi", "engines", "restart", "--context=default"],
        env=environment(**env),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert restarting.stdout.readline().endswith("its job runs to its end first\n")
    assert held.job.refresh().state is State.RUNNING
    assert waiting.refresh().state is State.QUEUED
    held.gate.touch()
    assert re.fullmatch(
        rf"\S+:\d+ \({engine[:8]}\): has loaded its code anew \(\w+\)\nRestarted: 1\.\n",
        restarting.communicate(timeout=30)[0],
    )
    assert restarting.returncode == 0
    assert held.job.refresh().state is State.SUCCESS
    assert waiting.value(timeout=20) != before.pid
    assert not before.is_running()
    assert waiting.info.engine == engine  # it is the same
    # A reconciler drops what was asked of an engine that is gone.
    RestartCaller().call_asked()
    assert not [field for field in store.policy.read() if field.startswith("restart:")]
