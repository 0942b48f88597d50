"""`moi top` and `moi watch` in a shell: once as text or JSON, and live in a terminal."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from threading import Thread

import pytest
from django.contrib.auth import get_user_model

from moi_django import Group
from moi_django.models import State
from moi_django.site_store import get_store as site_store
from moi_django.store.engines import EngineMetrics
from tests.helpers.held_job import Held
from tests.helpers.processes import environment, manage, wait_for
from tests.helpers.records import finish, job_in, many_jobs_in

pytestmark = pytest.mark.django_db(transaction=True)

EVIL = "[red]\x1b[31m\x07\u202ename[/]"
SAFE = "[red]\ufffd[31m\ufffd\ufffdname[/]"


@pytest.fixture
def env(site_env, connection_file):
    return {**site_env, "MOI_CONNECTION_FILE": connection_file}


@pytest.fixture
def shell(env, transactional_db):
    def shell(*arguments, code=0):
        """Run `moi` and return what it printed, or complained of when it is to fail."""
        ran = manage("moi", *arguments, **env, COLUMNS="200")
        assert ran.returncode == code, ran.stderr
        return ran.stderr if code else ran.stdout

    return shell


@pytest.fixture
def ada(moi, transactional_db):
    return get_user_model().objects.create_user("ada")


def lines(text, word):
    """Return the lines with a word, their columns apart by one space."""
    apart = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in apart if word in line]


def test_top_once(shell, store, cluster, ada, tmp_path):
    held = Held(tmp_path, "Stars", owner=ada)
    assert held.pid
    for state in (State.SUCCESS, State.SUCCESS, State.FAILED):
        finish(
            store,
            job_in(store, Group.of("night shift"), "A sweep", context="default"),
            state,
        )
    store.engines.report(
        EngineMetrics("gone", "default", "node7", 4711, "3.13.1", 99.6, 82_000_000, 1.5, 8)
    )
    text = shell("top")
    assert text == "\n".join(line.rstrip() for line in text.split("\n"))
    assert lines(text, "succeeded") == [
        "0 waiting · 1 running · 2 succeeded · 1 failed · 0 cancelled · 0 lost"
    ]
    assert re.search(r"longest wait — · delayed 0 · ended in the last 60 min: 3, on average", text)
    assert lines(text, "answers") == ["default answers 2 1 0 —"]
    [busy] = lines(text, "busy Stars")
    assert re.search(r" busy Stars [\d.]+ s .* default ", busy)
    [gone] = lines(text, "gone")
    assert re.fullmatch(r"node7:4711 gone — — 100 % 82 MB 1.50/8 default [\d.]+ s", gone)
    [job] = lines(text, "Running")
    assert re.fullmatch(r"Stars ● Running ada default \S+ \S+ [\d.]+ s [\d.]+ s", job)
    assert len(lines(text, "night shift")) == 3
    held.gate.touch()
    held.job.value()


@pytest.mark.parametrize("columns", ["", "abc", "0", "-5", "1"])
def test_any_width_will_do(env, store, cluster, ada, columns):
    job_in(store, Group.of(ada), "Stars", context="default")
    ran = manage("moi", "top", "--once", **env, COLUMNS=columns)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Stars" in ran.stdout


@pytest.mark.parametrize(
    ("columns", "heads"),
    [
        ("40", "job status owner"),
        ("60", "job status owner waited ran"),
        ("200", "job status owner context created (UTC) waited ran"),
    ],
)
def test_where_there_is_little_room_columns_are_left_out(env, store, cluster, ada, columns, heads):
    finish(store, job_in(store, Group.of(ada), "Stars of the sky", context="default"))
    text = manage("moi", "top", "--once", **env, COLUMNS=columns).stdout
    assert lines(text, "job status") == [heads]
    assert lines(text, "Stars")[0].startswith("Stars of the sky ✓ Success ")
    assert max(map(len, text.splitlines())) <= int(columns)
    assert "…" not in text


def test_top_as_json(shell, store, cluster, ada):
    job = finish(store, job_in(store, Group.of(ada), "a job", context="default"))
    store.engines.report(
        EngineMetrics("gone", "default", "node7", 4711, "3.13.1", 99.6, 82, 1.5, 8)
    )
    found = json.loads(shell("top", "--json"))
    [context] = found["contexts"]
    assert (context["name"], context["answers"], context["engines"]) == ("default", True, 2)
    engine = found["engines"][-1]
    assert (engine["id"], engine["condition"], engine["job"]) == ("gone", "gone", None)
    assert (engine["host"], engine["pid"], engine["cpu"], engine["memory"]) == (
        "node7",
        4711,
        99.6,
        82,
    )
    assert found["states"]["success"] == 1
    assert (found["ended"]["jobs"], found["ended"]["minutes"]) == ({"success": 1}, 60)
    assert [(each["id"], each["owner"]) for each in found["jobs"]] == [(job.id, "ada")]
    assert found["paused"] == 0


def test_watch_once(shell, store, ada):
    root = Group.of(ada)
    group = Group.create(root, "A sweep")
    many_jobs_in(store, group, 60)
    inner = Group.create(group, "Inner")
    finish(store, job_in(store, inner, "one"))
    finish(store, job_in(store, inner, "two"), State.LOST)
    running = job_in(store, root, "Stars")
    store.jobs.change(
        running.id, lambda i: i.changed(state=State.RUNNING, status="Looking", progress=0.25)
    )
    text = shell("watch", "--user=ada")
    said = [line.strip("│├└─ ") for line in text.splitlines()]
    assert said[:3] == [
        "ada  60 waiting · 1 running · 1 succeeded · 1 lost",
        "● Stars: Looking 25%",
        "A sweep  60 waiting · 1 succeeded · 1 lost",
    ]
    assert said[-1] == "… 11 more"
    assert len([line for line in said if "Queued" in line]) == 50
    inner_text = shell("watch", "--user", inner.id)
    assert [line.strip("│├└─ ") for line in inner_text.splitlines()] == [
        f"{inner.id}  1 succeeded · 1 lost",
        "✓ one: Success",
        "✗ two: Failed",
    ]


@pytest.mark.parametrize(
    ("far", "said"),
    [
        ({}, "Looking"),
        ({"progress": 0.3, "done": 3, "total": 10}, "Looking 3/10"),
        ({"done": 12}, "Looking 12 done"),
        ({"progress": 0.3, "state": State.FAILED}, "Looking"),
    ],
)
def test_how_far_a_job_is_can_be_watched(shell, store, ada, far, said):
    job = job_in(store, Group.of(ada), "Stars")
    running = {"state": State.RUNNING, "status": "Looking", **far}
    store.jobs.change(job.id, lambda info: info.changed(**running))
    assert shell("watch", "--user=ada").splitlines()[-1].endswith(f" Stars: {said}")


def test_watch_as_json(shell, store, ada):
    group = Group.create(ada, "A sweep")
    job = job_in(store, group)
    found = json.loads(shell("watch", "--user=ada", "--json"))
    assert [info["id"] for info in found] == [Group.of(ada).id, group.id, job.id]
    assert found[1]["totals"] == {"queued": 1}


def test_nobody_is_watched_who_has_no_jobs(shell, ada):
    assert shell("watch", "--user=nobody", code=1) == "Unknown user: nobody\n"
    assert shell("watch", "--user=ada") == "ada: no jobs\n"
    assert json.loads(shell("watch", "--user=ada", "--json")) == []


def test_what_jobs_say_cannot_steer_a_terminal(shell, store, cluster):
    job = job_in(store, Group.of("evil[/red]"), EVIL, context="default")
    store.jobs.change(job.id, lambda info: info.changed(status=EVIL))
    store.engines.report(EngineMetrics("one", "default", EVIL, 4711, EVIL))
    for text in (shell("top", "--once"), shell("watch", "--user=evil[/red]")):
        assert "\x1b" not in text
        assert SAFE in text


def test_without_redis_they_say_so(shell):
    ran = manage("moi", "top", MOI_REDIS_URL="redis://127.0.0.1:1/0")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "Is it running" in ran.stderr


def test_without_rich_they_say_what_to_install(env, ada, store, tmp_path):
    job_in(store, Group.of(ada))
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError('no rich', name='rich')")
    path = f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}"
    ran = manage("moi", "watch", "--user=ada", **{**env, "PYTHONPATH": path})
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "rich is missing: `pip install 'moi_django[terminal]'`.\n"
    ran = manage("moi", "watch", "--user=ada", "--json", **{**env, "PYTHONPATH": path})
    assert (ran.returncode, ran.stderr) == (0, "")


@contextmanager
def in_a_terminal(env, *arguments):
    """Run `moi` in a terminal; give the process and what returns all that it has drawn."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "moi", *arguments],
        env=environment(**env, TERM="xterm", COLUMNS="120", LINES="60"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    drawn = bytearray()

    def read():
        while True:
            try:
                drawn.extend(os.read(ours, 65_536))
            except OSError:  # the terminal has gone with its last program
                return

    reader = Thread(target=read)
    reader.start()
    try:
        yield process, lambda: re.sub(r"\x1b\[[\d;?]*\w", "", drawn.decode(errors="replace"))
    finally:
        process.kill()
        process.wait()
        reader.join()
        os.close(ours)


@pytest.mark.parametrize("arguments", [("top",), ("watch", "--user=ada")])
def test_live_until_ctrl_c(env, store, cluster, ada, arguments):
    job = job_in(store, Group.of(ada), "Stars", context="default")
    with in_a_terminal(env, *arguments) as (process, drawn):
        wait_for(lambda: "Queued" in drawn(), "the first picture")
        finish(store, job, State.FAILED)
        wait_for(lambda: "✗" in drawn() and "Failed" in drawn(), "the next picture")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert "Traceback" not in drawn()


def test_live_the_first_jobs_of_somebody_are_waited_for(env, store, ada):
    with in_a_terminal(env, "watch", "--user=ada") as (process, drawn):
        wait_for(lambda: "ada: no jobs" in drawn(), "the first picture")
        job_in(store, Group.of(ada), "Stars")
        wait_for(lambda: "Stars: Queued" in drawn(), "the job")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_live_it_outlasts_redis(env, ada, own_redis, moi):
    job_in(site_store(), Group.of(ada), "Stars")
    with in_a_terminal({**env, "MOI_REDIS_URL": own_redis.url}, "watch", "--user=ada") as (
        process,
        drawn,
    ):
        wait_for(lambda: "Queued" in drawn(), "the first picture")
        own_redis.kill()
        wait_for(lambda: "Is it running" in drawn(), "the trouble")
        seen = drawn().count("Queued")
        own_redis.start()
        wait_for(lambda: drawn().count("Queued") > seen, "the next picture")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
