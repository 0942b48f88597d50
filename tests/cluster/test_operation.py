"""`moi pause`, `resume`, `drain`, `prefer`, and what `moi job` says of a job that waits."""

import json
import logging
import re
import signal
import subprocess
import sys
from io import StringIO

import pytest
from django.core.management import call_command

from moi_django import ctx_default, submit
from moi_django.cluster.connections import get_connection
from moi_django.cluster.reconciler import Reconciler
from moi_django.models import State
from moi_django.store import policy
from tests.helpers.held_job import Held
from tests.helpers.processes import at_once, environment, manage, wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def env(site_env, engine):
    return {**site_env, "MOI_CONNECTION_FILE": engine}


@pytest.fixture
def shell(env, transactional_db):
    def shell(*arguments, code=0):
        """Run `moi` and return what it printed, or complained of when it is to fail."""
        ran = manage("moi", *arguments, **env)
        assert ran.returncode == code, ran.stderr
        return ran.stderr if code else ran.stdout

    return shell


@pytest.fixture
def popen(env, transactional_db):
    """Run `moi` beside the test."""
    begun = []

    def popen(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "django", "moi", *arguments],
            env=environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield popen
    for process in begun:
        process.kill()
        process.communicate()


def place_of(text):
    return re.findall(r"^place\t\t: (.*)$", text, re.MULTILINE)


def test_a_pause_holds_what_comes_until_it_is_resumed(shell, store, tmp_path):
    assert shell("pause") == "Context default: paused\n"
    since = store.policy.read()[policy.paused("default")]
    assert shell("pause", "--context=default") == "Context default: was paused before\n"
    assert store.policy.read()[policy.paused("default")] == since
    job = submit(ctx_default, "ada", "waits", None, work.triple, 2)
    assert place_of(shell("job", f"--job-id={job.id}")) == ["paused"]
    told = json.loads(shell("job", f"--job-id={job.id}", "--json"))
    assert (told["position"], told["starts_in"], told["hold"]) == (None, None, "paused")
    assert json.loads(shell("pause", "--json")) == [
        {"context": "default", "paused": since, "running": []}
    ]
    assert "default paused" in " ".join(shell("top", "--once").split())
    assert json.loads(shell("top", "--json"))["contexts"][0]["paused"] == since
    assert job.refresh().state is State.QUEUED
    # Without a reconciler, workers are called by who resumes.
    assert shell("resume") == "Context default: resumed\n"
    assert job.value(timeout=20) == 6
    assert shell("resume", "--all") == "Context default: was not paused\n"
    ended = shell("job", f"--job-id={job.id}")
    assert not place_of(ended)
    assert "hold" not in json.loads(shell("job", f"--job-id={job.id}", "--json"))


def test_to_drain_a_context_waits_for_what_runs_and_lets_nothing_begin(shell, popen, tmp_path):
    held = Held(tmp_path, "holds")
    assert held.pid
    waiting = submit(ctx_default, "ada", "waits", None, work.triple, 2)
    draining = popen("drain", "--wait")
    assert draining.stdout.readline() == "Context default: paused\n"
    assert draining.stdout.readline() == f"Still running: holds ({held.job.id})\n"
    assert draining.poll() is None
    held.gate.touch()
    assert draining.communicate(timeout=30) == ("Nothing runs there any more.\n", "")
    assert draining.returncode == 0
    assert held.job.refresh().finished
    assert (held.job.state, waiting.refresh().state) == (State.SUCCESS, State.QUEUED)
    assert json.loads(shell("drain", "--wait", "--json"))[0]["running"] == []
    shell("resume")
    assert waiting.value(timeout=20) == 6


def test_ctrl_c_ends_the_wait_and_not_the_pause(popen, store, tmp_path):
    held = Held(tmp_path, "holds")
    assert held.pid
    draining = popen("drain", "--all", "--wait")
    assert draining.stdout.readline() == "Context default: paused\n"
    assert draining.stdout.readline().startswith("Still running: ")
    draining.send_signal(signal.SIGINT)
    said = "Nothing begins there before manage.py moi resume --all\n"
    assert draining.communicate(timeout=30) == ("", said)
    assert draining.returncode == 130
    assert policy.paused("default") in store.policy.read()
    assert held.job.refresh().state is State.RUNNING
    held.gate.touch()


def test_a_drained_engine_takes_nothing_until_it_is_resumed(shell, popen, store, tmp_path):
    held = Held(tmp_path, "holds")
    assert held.pid
    waiting = submit(ctx_default, "ada", "waits", None, work.triple, 2)
    engine = held.job.refresh().info.engine
    store.policy.start(policy.drained("of-long-ago"))
    draining = popen("drain", f"--engine={engine[:12]}", "--wait")
    assert re.fullmatch(rf"Engine \S+:\d+ \({engine[:8]}\): drained\n", draining.stdout.readline())
    assert draining.stdout.readline() == f"Still running: holds ({held.job.id})\n"
    held.gate.touch()
    assert draining.communicate(timeout=30) == ("Nothing runs there any more.\n", "")
    # What is noted of engines that are gone is dropped on the occasion.
    assert list(store.policy.read()) == [policy.drained(engine)]
    again = json.loads(shell("drain", f"--engine={engine}", "--json"))
    assert (again["engine"], again["running"]) == (engine, [])
    [found] = json.loads(shell("top", "--json"))["engines"]
    assert (found["id"], found["drained"]) == (engine, again["drained"])
    name = f"{found['host']}:{found['pid']}"
    assert waiting.refresh().state is State.QUEUED
    assert shell("resume", f"--engine={name}") == f"Engine {name} ({engine[:8]}): resumed\n"
    assert waiting.value(timeout=20) == 6
    assert shell("resume", f"--engine={name}").endswith(": was not drained\n")


def test_a_reconciler_calls_no_drained_engine(shell, store, engine, caplog):
    first = submit(ctx_default, "ada", "first", None, work.triple, 1)
    assert first.value(timeout=20) == 3
    id = first.refresh().info.engine
    connection, queue = get_connection("default"), first.info.queue

    def has_left():
        return not store.queue.workers(queue) and connection.count_engines(queue) == (1, 1)

    shell("drain", f"--engine={id}")
    wait_for(has_left)
    waiting = submit(ctx_default, "ada", "waits", None, work.triple, 2)
    # Who submits calls it once, in vain.
    wait_for(has_left)
    caplog.set_level(logging.INFO, "moi_django.cluster.reconciler")
    Reconciler().reconcile()
    assert not caplog.records and waiting.refresh().state is State.QUEUED
    store.policy.stop(policy.drained(id))
    Reconciler().reconcile()
    [record] = caplog.records
    assert record.getMessage().startswith("Called workers to queue")
    assert waiting.value(timeout=20) == 6


def test_jobs_say_where_they_stand_and_are_moved_to_the_front(shell, tmp_path):
    held = Held(tmp_path, "holds")
    assert held.pid
    low = ("submit", "--cmd=return 1", "--user=ada")
    ids = [json.loads(shell(*low, *more, "--json"))["id"] for more in ([], [], ["--priority=7"])]
    assert [place_of(shell("job", f"--job-id={id}"))[0].split(",")[0] for id in ids] == [
        *("number 2 in line", "number 3 in line", "next in line")
    ]
    assert shell("prefer", f"--job-id={ids[1]}") == f"Moved to the front, job id: {ids[1]}\n"
    told = json.loads(shell("job", f"--job-id={ids[1]}", "--json"))
    assert (told["position"], told["hold"]) == (1, None)
    complaint = shell("prefer", f"--job-id={held.job.id}", code=1)
    assert complaint == "The job does not wait in a queue: it is running.\n"
    held.gate.touch()
    wait_for(lambda: "Success" in shell("job", f"--job-id={ids[0]}"))


def test_a_limit_is_given_in_a_shell(shell, store, moi, engine):
    moi["LIMITS"] = {"matlab": 0}
    out = StringIO()
    call_command("moi", "submit", "--cmd=return 1", "--limit=matlab", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["limit"], told["position"], told["hold"]) == ("matlab", None, "limit")
    # The shell's settings do not have it.
    complaint = shell("submit", "--cmd=return 1", "--limit=matlab", code=1)
    assert complaint.startswith("Unknown limit 'matlab'")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["pause", "--context=x"], "Unknown context: x. There are: default.\n"),
        (["drain", "--context=x"], "Unknown context: x. There are: default.\n"),
        (["resume", "--engine=x"], "Unknown engine: x. There are: "),
        (["drain", "--engine=x", "--wait"], "Unknown engine: x. There are: "),
        (["drain", "--engine=x", "--all"], "not allowed with argument"),
        (["submit", "--cmd=1", "--priority=101"], "priority is 101: give a whole number"),
        (["submit", "--cmd=1", "--limit="], "limit is '': give a key of"),
    ],
    ids=str,
)
def test_what_makes_no_sense_changes_nothing(shell, store, arguments, complaint):
    assert complaint in shell(*arguments, code=2)
    assert store.policy.read() == {}


def test_without_a_cluster_a_pause_is_kept_all_the_same(site_env, store, tmp_path):
    env = {**site_env, "MOI_CONNECTION_FILE": str(tmp_path / "none.json")}
    for verb, said in (("pause", "paused"), ("resume", "resumed")):
        runs = []
        at_once(lambda verb=verb, runs=runs: runs.append(manage("moi", verb, **env)))
        assert (runs[0].returncode, runs[0].stdout) == (0, f"Context default: {said}\n")
