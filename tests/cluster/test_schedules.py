"""What runs by the clock, on real engines."""

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from moi_django import Group
from moi_django.models import State
from tests.helpers.processes import environment, manage, wait_for
from tests.helpers.schedules import settings_with

pytestmark = pytest.mark.django_db(transaction=True)


def test_reconcilers_run_each_second_once_on_engines(cluster, site_env, tmp_path):
    told = tmp_path / "told"
    entry = {
        "func": "tests.helpers.schedules.add_line",
        "cron": "* * * * * *",
        "owner": "ops",
        "args": (str(told),),
        "overlap": True,
    }
    env = {
        **site_env,
        **settings_with(tmp_path, {"each second": entry}),
        "MOI_CONNECTION_FILE": str(cluster),
    }
    command = [sys.executable, "-m", "django", "moi", "reconcile"]
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(command, env=environment(**env), stdout=subprocess.PIPE, text=True)
            )
            for _ in range(2)
        ]
        stack.callback(lambda: [process.kill() for process in running])
        wait_for(lambda: told.exists() and len(told.read_text().splitlines()) >= 5, "five runs")
        [listed] = json.loads(manage("moi", "schedule", "--json", **env).stdout)
        assert listed["last_job"] and listed["next"]
        assert manage("moi", "schedule", "--pause", "each second", **env).returncode == 0
        for process in running:
            process.send_signal(signal.SIGTERM)
        said = "".join(process.communicate()[0] for process in running)
    wait_for(lambda: all(job.finished for job in Group.of("ops").jobs()), "the ends")
    jobs = Group.of("ops").jobs()
    assert {job.state for job in jobs} == {State.SUCCESS}
    assert said.count("the schedule 'each second' runs job ") == len(jobs)
    assert told.read_text().splitlines() == ["ran"] * len(jobs)
    seconds = [job.info.date_created.split(".")[0] for job in jobs]
    assert len(seconds) >= 5 and Path(told).stat().st_size == 4 * len(jobs)
    ran = manage("moi", "schedule", "--run", "each second", **env)
    id = ran.stdout.split()[-1]
    shown = wait_for(
        lambda: "success" in (out := manage("moi", "schedule", **env).stdout) and out, "its end"
    )
    assert id in shown and " : paused : " in shown
