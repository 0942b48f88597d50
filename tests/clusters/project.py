"""A project as its users have one, whose commands are run as they run them."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.clusters.labs import wait_for
from tests.helpers.processes import ROOT, environment

SETTINGS = """
INSTALLED_APPS += ["channels", "moi_django"]
ASGI_APPLICATION = "moi_django.asgi.application"
CHANNEL_LAYERS = {{"default": {{"BACKEND": "moi_django.layers.MoiChannelLayer"}}}}
MOI = {{"REDIS_URL": {url!r}, "TEST_ISOLATION": False, "CONTEXTS": {contexts!r}, **{more!r}}}
"""
WORK = """
import os, socket, time

def nap(seconds):
    time.sleep(seconds)
    return place()

def wait_for_file(path):
    while not os.path.exists(path):
        time.sleep(0.05)
    return place()

def place():
    node, host = os.environ.get("SLURMD_NODENAME"), socket.gethostname()
    return {"node": node, "host": host, "pid": os.getpid()}
"""
# Does in one process what would take a second to start each time: a line in, a line out.
AGENT = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "site1.settings"
import django
django.setup()
from moi_django import Job, submit
from moi_django.contrib.clusters.context_settings import read_context
from moi_django.contrib.clusters.context_status import ManagedContext
import work

def send(context, count, name, argument):
    function, names = getattr(work, name), [f"{name} {n}" for n in range(count)]
    return [submit(context, "no-user", each, None, function, argument).id for each in names]

def look(ids):
    infos = [Job.get(id).info for id in ids]
    return [{"finished": i.finished, "state": i.state, "result": i.result} for i in infos]

def status(context):
    return ManagedContext(read_context(context)).read_status().to_dict()

ACTS = {"send": send, "look": look, "status": status}
for line in sys.stdin:
    act, *arguments = json.loads(line)
    print(json.dumps(ACTS[act](*arguments)), flush=True)
"""


class Load:
    """Jobs that were submitted."""

    def __init__(self, project: "Project", ids: list[str], awaited: Path | None = None) -> None:
        self._project, self._ids, self._awaited = project, ids, awaited

    def look(self) -> list[dict[str, Any]]:
        """Return the states and results of the jobs as they are now."""
        found: list[dict[str, Any]] = self._project.ask("look", self._ids)
        return found

    def count(self, state: str) -> int:
        """Return how many are in a state now."""
        return sum(each["state"] == state for each in self.look())

    def wait_until_all_run(self) -> None:
        """Return once all jobs run at the same time."""
        wait_for(lambda: self.count("running") == len(self._ids))

    def release(self) -> None:
        """Let jobs end that are held."""
        assert self._awaited is not None
        self._awaited.touch()

    def results(self) -> list[dict[str, Any]]:
        """Return what became of the jobs, once all have ended."""
        found: list[dict[str, Any]] = wait_for(self._ended, 180)
        return found

    def _ended(self) -> list[dict[str, Any]] | None:
        found = self.look()
        return found if all(each["finished"] for each in found) else None

    def states(self) -> list[str]:
        """Return the states of the jobs, once all have ended."""
        return [each["state"] for each in self.results()]


class Project:
    """A project in a directory."""

    def __init__(
        self,
        directory: Path,
        url: str,
        contexts: dict[str, Any],
        prefix: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        # What its programs are started with, as that which leads to another host.
        self._python = [*prefix, sys.executable]
        self._env = environment(PYTHONPATH=str(ROOT))
        self._env.pop("DJANGO_SETTINGS_MODULE")
        subprocess.run(
            [sys.executable, "-m", "django", "startproject", "site1", "."],
            cwd=directory,
            env=self._env,
            check=True,
        )
        with (directory / "site1/settings.py").open("a") as file:
            file.write(SETTINGS.format(url=url, contexts=contexts, more=dict(settings or {})))
        (directory / "work.py").write_text(WORK)
        (directory / "agent.py").write_text(AGENT)
        self.manage("migrate", "-v0")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._agent = self.start("agent.py", **pipes)

    def start(self, *command: str, **given: Any) -> subprocess.Popen[str]:
        """Start a Python program of the project."""
        return subprocess.Popen(
            [*self._python, *command], cwd=self.directory, env=self._env, text=True, **given
        )

    def ask(self, act: str, *arguments: Any) -> Any:
        """Have the agent do something; return what comes of it."""
        pipes = self._agent
        assert pipes.stdin is not None and pipes.stdout is not None
        pipes.stdin.write(json.dumps([act, *arguments]) + "\n")
        pipes.stdin.flush()
        return json.loads(pipes.stdout.readline())

    def close(self) -> None:
        """End the agent."""
        self._agent.communicate()

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a management command."""
        return subprocess.run(
            [*self._python, "manage.py", *arguments],
            cwd=self.directory,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def manage(self, *arguments: str) -> str:
        """Run a management command that has to succeed; return what it writes."""
        ran = self.call(*arguments)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def cluster(self, act: str, context: str, *arguments: str) -> str:
        """Do something with the cluster of a context; return what is written."""
        return self.manage("moi", "cluster", act, *arguments, f"--context={context}")

    def status(self, context: str) -> dict[str, Any]:
        """Return how a context is, as `moi cluster status --json` has it."""
        found: dict[str, Any] = self.ask("status", context)
        return found

    def conditions(self, context: str) -> list[str]:
        """Return how the engines of a context are."""
        return sorted(each["condition"] for each in self.status(context)["engines"])

    def wait_for_conditions(self, context: str, *wanted: str) -> None:
        """Wait until the engines of a context are so."""
        wait_for(lambda: self.conditions(context) == sorted(wanted))

    def submit(self, context: str, count: int, seconds: float) -> Load:
        """Submit jobs that take so long."""
        return Load(self, self.ask("send", context, count, "nap", seconds))

    def hold(self, context: str, count: int) -> Load:
        """Submit jobs that end when they are released."""
        awaited = self.directory / f"released-{time.monotonic_ns()}"
        ids = self.ask("send", context, count, "wait_for_file", str(awaited))
        return Load(self, ids, awaited)
