"""The units of docs/howto/systemd under systemd, as docs/howto/deploy-machine.md has them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from moi_django.contrib.services.embedded_redis import find_server
from tests.clusters.labs import wait_for
from tests.clusters.systemd import PACKAGES, Machine, machine, missing
from tests.helpers.processes import ROOT

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"This machine has no {missing()}.")

DOCS = ROOT / "docs/howto"
FILES = "/opt/project/docs/howto/systemd"
SERVICES = ("lab-reconcile", "lab-cluster@default", "lab-web@1", "lab-web@2")
PYTHON = "/srv/lab/venv/bin/python"
# A job that goes on until it may end.
WORK = """
import pathlib, time

def wait(file):
    while not pathlib.Path(file).exists():
        time.sleep(0.05)
"""
# In the place of that of a distribution.
REDIS = """
[Service]
User=redis
RuntimeDirectory=redis
Environment=SOCKET=/run/redis/redis-server.sock
ExecStart=/usr/local/bin/lab-redis --port 0 --unixsocket $SOCKET --unixsocketperm 770
"""
# What has no network there; a Python with its packages and the project is there.
VENV = f"""
/opt/python/bin/python3 -m venv --without-pip /srv/lab/venv
for packages in /srv/lab/venv/lib/python3*/site-packages; do
    printf '/opt/packages\\n/opt/project\\n' >$packages/lab.pth
done
cd /srv/lab
{PYTHON} -m django startproject lab .
"""


class Lab:
    """The site on its machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def set_up(self) -> None:
        """Do what the page says, but for what needs a network, and nginx."""
        page = (DOCS / "deploy-machine.md").read_text()
        parts = re.split(r"^## ", page, flags=re.MULTILINE)
        account, _, settings, services = (commands(part) for part in parts[1:5])
        [python] = re.findall(r"^```python\n(.*?)^```$", parts[3], re.MULTILINE | re.DOTALL)
        without = re.compile("apt-get|venv|collectstatic|systemctl enable")
        self.machine.run("sh", "-ec", "getent group redis || useradd --system --user-group redis")
        self.run_all(without, account)
        self.machine.run("sh", "-ec", VENV)
        self.machine.run("tee", "-a", "/srv/lab/lab/settings.py", given=two_engines(python))
        self.machine.write("/srv/lab/work.py", WORK)
        self.start_redis()
        self.run_all(without, settings)
        self.run_all(without, [f"cd {FILES}", *services])

    def run_all(self, without: re.Pattern[str], lines: list[str]) -> None:
        """Run commands of a page, but for some."""
        script = "\n".join(line for line in lines if not without.search(line))
        self.machine.run("bash", "-euc", script)

    def start_redis(self) -> None:
        program = find_server()
        if program.is_relative_to(PACKAGES):
            program = Path("/opt/packages") / program.relative_to(PACKAGES)
        self.machine.run("install", str(program), "/usr/local/bin/lab-redis")
        self.machine.write("/etc/systemd/system/redis-server.service", REDIS)
        self.machine.run("systemctl", "start", "redis-server")

    def manage(self, *arguments: str) -> str:
        """Run manage.py as the page does."""
        return self.machine.run("lab-manage", *arguments)

    def submit(self, file: str) -> str:
        """Submit a job that goes on until there is a file; return its id."""
        code = f"import work; work.wait({file!r})"
        return self.manage("moi", "submit", "--cmd", code).split()[-1]

    def state(self, job: str) -> str:
        return str(json.loads(self.manage("moi", "job", "--json", "--job-id", job))["status"])

    def conditions(self) -> list[str]:
        """Return how the engines are."""
        [found] = json.loads(self.manage("moi", "cluster", "status", "--json"))
        return sorted(each["condition"] for each in found["engines"])

    def show(self, unit: str, name: str) -> str:
        """Return what systemd knows of a unit."""
        return self.machine.run("systemctl", "show", "-P", name, unit).strip()

    def site_can_write(self, path: str) -> bool:
        """Tell whether the site, as it runs, can make a file."""
        pid = self.show("lab-web@1", "MainPID")
        user = ["setpriv", "--reuid=lab", "--regid=lab", "--init-groups"]
        ran = self.machine.call("nsenter", "-t", pid, "--mount", *user, "touch", path)
        return not ran.returncode

    def processes(self, unit: str) -> set[int]:
        """Return the processes of a unit or a slice, whoever has started them."""
        group = self.show(unit, "ControlGroup")
        find = f"find /sys/fs/cgroup{group} -name cgroup.procs -exec cat {{}} +"
        return set(map(int, self.machine.call("sh", "-c", find).stdout.split())) if group else set()


def commands(text: str) -> list[str]:
    """Return the lines that a part of a page has somebody type."""
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def two_engines(settings: str) -> str:
    assert settings.count('"ENGINES": 16') == 1
    return settings.replace('"ENGINES": 16', '"ENGINES": 2')


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    with machine(tmp_path_factory.mktemp("systemd")) as booted:
        lab = Lab(booted)
        lab.set_up()
        yield lab


def test_units_have_no_mistake(lab):
    units = [f"/etc/systemd/system/{file.name}" for file in (DOCS / "systemd").glob("*.s[el]*ice")]
    assert len(units) == 4
    verified = lab.machine.call("systemd-analyze", "verify", *units)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_a_host_without_engines_does_not_wait_for_them(lab):
    directory = "/etc/systemd/system/lab-cluster@elsewhere.service.d/"
    lab.machine.run("install", "-D", "-t", directory, f"{FILES}/engines-elsewhere.conf")
    lab.machine.run("systemctl", "daemon-reload")
    here, elsewhere = (
        lab.show(f"lab-cluster@{name}", "ExecStop") for name in ("default", "elsewhere")
    )
    assert "cluster stop --context=default --wait=3600 ;" in here
    assert "cluster stop --context=elsewhere ;" in elsewhere


def test_services_run_jobs_and_leave_nothing_behind(lab):
    lab.machine.run("install", "-d", "-o", "lab", "/srv/lab/state")
    lab.machine.run("systemctl", "start", *SERVICES)
    asked = ["curl", "--fail", "--silent", "-H", "Host: lab.example.org", "--unix-socket"]
    for number in "12":
        answer = lab.machine.run(*asked, f"/run/lab-web-{number}/web.sock", "http://-/admin/login/")
        assert "csrfmiddlewaretoken" in answer
    # The site writes where it has to, and not to what it need not though it is of its user.
    assert all(map(lab.site_can_write, ("/var/lib/lab/x", "/srv/lab/state/x", "/tmp/x")))
    assert not lab.site_can_write("/srv/lab/static/x")
    assert "result\t\t: 15" in lab.manage("moi", "submit", "--cmd", "return 15", "--block")
    wait_for(lambda: lab.conditions() == ["idle", "idle"])

    # An engine that the reconciler has started outlives it, with its job.
    [killed, *_] = lab.machine.run("pgrep", "-f", "clusters.engine").split()
    lab.machine.run("kill", "-9", killed)
    wait_for(lambda: lab.conditions() == ["idle", "idle"])
    jobs = [lab.submit("/var/lib/lab/first") for _ in range(2)]
    wait_for(lambda: lab.conditions() == ["busy", "busy"])
    before = lab.processes("lab-reconcile.service")
    lab.machine.run("systemctl", "restart", "lab-reconcile")
    assert len(lab.processes("lab-reconcile.service") & before) >= 2

    # Who stops the cluster waits for its jobs.
    lab.machine.run("systemctl", "stop", "--no-block", "lab-cluster@default")
    wait_for(lambda: lab.conditions() == ["leaving", "leaving"])
    lab.machine.run("touch", "/var/lib/lab/first")
    wait_for(lambda: lab.show("lab-cluster@default", "ActiveState") == "inactive")
    assert [lab.state(job) for job in jobs] == ["Success", "Success"]
    lab.machine.run("systemctl", "stop", *SERVICES)
    wait_for(lambda: not lab.processes("lab.slice"), 10.0)
    assert lab.machine.run("systemctl", "--failed", "--quiet", "--plain") == ""


def test_a_controller_that_is_killed_is_started_again(lab):
    lab.machine.run("systemctl", "start", "lab-reconcile", "lab-cluster@default")
    job = lab.submit("/var/lib/lab/second")
    wait_for(lambda: "busy" in lab.conditions())
    lab.machine.run("pkill", "-9", "-f", "ipyparallel.controller")
    lab.machine.run("touch", "/var/lib/lab/second")
    # Its engines end when they have no job, and systemd sees that nothing is left.
    wait_for(lambda: lab.state(job) == "Success")
    wait_for(lambda: lab.conditions() == ["idle", "idle"], 120.0)
    assert "result\t\t: 3" in lab.manage("moi", "submit", "--cmd", "return 3", "--block")
    lab.machine.run("systemctl", "stop", *SERVICES)
    wait_for(lambda: not lab.processes("lab.slice"), 10.0)
