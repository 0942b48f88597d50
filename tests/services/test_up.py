"""`manage.py moi up`: everything starts, is found by other commands, and ends."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis

from tests.helpers.processes import ROOT, environment, free_port, manage, wait_for
from tests.helpers.schedules import settings_with
from tests.helpers.services import up


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """The file of a database that has tables and nothing in them."""
    file = tmp_path_factory.mktemp("database") / "db.sqlite3"
    assert manage("migrate", "-v0", MOI_TEST_DATABASE=str(file)).returncode == 0
    return file


@pytest.fixture
def project(tmp_path, empty_database):
    """The environment of commands in a project of its own, whose database is empty."""
    database = shutil.copy(empty_database, tmp_path)
    return {
        "MOI_TEST_DIR": str(tmp_path),
        "MOI_TEST_DATABASE": str(database),
        "MOI_TEST_DEBUG": "1",
    }


def started_by(process):
    """Return every process below one."""
    return psutil.Process(process.pid).children(recursive=True)


def alive(processes):
    """Return which of some processes run; a dead one may wait for its parent to notice."""

    def runs(process):
        try:
            return process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return [process for process in processes if runs(process)]


def words_of(processes):
    """Return the words of the commands that some processes are."""
    words = []
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            words += each.cmdline()
    return words


def state_of(project):
    return Path(project["MOI_TEST_DIR"]) / ".moi"


def test_one_command_runs_all_and_another_finds_it(project):
    with up(project, "--bind=127.0.0.1:0") as (process, line):
        line("System check identified no issues")
        url = line(r"ready +(http://127.0.0.1:\d+/) ")[1]
        with urllib.request.urlopen(url) as page:
            assert b"Log in to see your jobs." in page.read()
        with urllib.request.urlopen(f"{url}static/moi_django/moi.js") as script:
            assert b"customElements.define" in script.read()
        code = "from django.contrib.auth.models import User; return User.objects.count()"
        ran = manage("moi", "submit", "--cmd", code, "--block", **project)
        assert "result\t\t: 0\n" in ran.stdout
        assert line(r"job +\S+  no-user-cmd-submit: Success")
        state = state_of(project)
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        assert stat.S_IMODE((state / "services.json").stat().st_mode) == 0o600
        assert (state / ".gitignore").read_text() == "*\n"  # keys of the cluster are in there
        second = manage("moi", "up", "--bind=127.0.0.1:0", **project)
        assert second.returncode == 1
        assert "already runs for this project" in second.stderr
        started = started_by(process)
        process.terminate()
        out, err = process.communicate()
        assert process.returncode == 0
        assert [line.split("] ", 1)[1].rsplit(" ", 1)[0] for line in err.splitlines()] == [
            '"GET / HTTP/1.1" 200',
            '"GET /static/moi_django/moi.js HTTP/1.1" 200',
        ]
        assert out.splitlines()[-1].endswith("stopped")
        assert alive(started) == []
        assert not (state / "services.json").exists()
    assert "moi has no Redis" in manage("moi", "users", **project).stderr


def test_it_runs_what_is_to_run_by_the_clock(project, tmp_path):
    entry = {"func": "tests.site.work.triple", "cron": "* * * * * *", "owner": "ops", "args": (2,)}
    env = settings_with(tmp_path, {"each second": entry})
    with up({**project, **env}, "--no-server") as (_, line):
        line(r"moi +the schedule 'each second' runs job ")
        assert line(r"job +\S+  each second: Success")


def test_secrets_stay_where_they_are_needed(project):
    with up(project, "--bind=127.0.0.1:0", "--engines=2") as (process, line):
        line("ready")
        state = state_of(project)
        services = json.loads((state / "services.json").read_text())
        password = re.search("://:([^@]+)@", services["redis_url"])[1]
        key = json.loads(Path(services["connection_file"]).read_text())["key"]
        assert len(password) > 30 and len(key) > 30

        def submit(*arguments, code=0):
            ran = manage("moi", "submit", "--json", *arguments, **project)
            assert ran.returncode == code, ran.stderr
            return ran.stdout

        printed = [submit("--cmd=env; set", "--cmd-type=system", "--block")]
        printed.append(submit("--cmd=env >&2; exit 1", "--cmd-type=system", "--block", code=1))
        printed.append(submit("--cmd=import os; return dict(os.environ)", "--block"))
        assert "PATH=" in json.loads(printed[0])["result"][0]
        # A job may submit another one all the same.
        code = "from moi_django import submit_nouser; return submit_nouser(abs, -3).value(20)"
        printed.append(submit(f"--cmd={code}", "--block"))
        assert json.loads(printed[-1])["result"] == 3
        submit("--cmd=sleep 600", "--cmd-type=system")
        [sleeper] = wait_for(lambda: [each for each in started_by(process) if is_sleeper(each)])

        started = [psutil.Process(process.pid), *started_by(process)]
        printed += words_of(started)
        printed += sleeper.environ().values()
        with reading(services["redis_url"]) as client:
            printed += [contents(client, key) for key in client.keys("*")]
        engines = [each for each in started if "ipyparallel.engine" in each.cmdline()]
        assert len(engines) >= 2
        assert not any(password in " ".join(each.environ().values()) for each in engines)
        assert_private(state, [password, key])
        process.terminate()
        printed += [*process.communicate(), *process.said]
        assert [text for text in printed if password in text or key in text] == []


def assert_private(directory, secrets):
    """No file with a secret can be read by others."""
    holders = {
        path
        for path in directory.rglob("*")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets)
    }
    assert {path.name for path in holders} >= {"services.json", "ipcontroller-client.json"}
    for path in holders:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700, path


def is_sleeper(process):
    with suppress(psutil.NoSuchProcess):
        return process.name() == "sleep" and process.cmdline()[-1:] == ["600"]


def reading(url):
    """Return a client that takes signatures, too, for text."""
    return redis.Redis.from_url(url, decode_responses=True, encoding_errors="replace")


def contents(client, key):
    """Return what a key of Redis holds, as text."""
    read = {
        "string": client.get,
        "set": client.smembers,
        "hash": client.hgetall,
        "zset": lambda key: client.zrange(key, 0, -1),
        "stream": client.xrange,
        "list": lambda key: client.lrange(key, 0, -1),
        "none": lambda key: "",  # it is gone meanwhile
    }
    return str(read[client.type(key)](key))


def test_it_replaces_engines_that_die_and_ends_their_jobs(project, tmp_path):
    with up(project, "--no-server", "--engines=1") as (process, line):
        line("ready")
        code = "import psutil, time; psutil.Process().parent().parent().kill(); time.sleep(60)"
        manage("moi", "submit", "--cmd", code, "--name=deadly", **project)
        line("1 engine died, starting anew")
        command = ("moi", "submit", "--cmd", "return 1 + 1", "--block")
        wait_for(lambda: "result\t\t: 2\n" in manage(*command, **project).stdout)
        line("deadly: Failed")
        process.terminate()
        assert process.wait(20) == 0


def test_ctrl_c_also_ends_what_jobs_have_started(project, tmp_path):
    pid_file = tmp_path / "pid"
    with up(project, "--no-server") as (process, line):
        line("ready")
        command = f"setsid sleep 600 & echo $! > {pid_file}; sleep 600"
        manage("moi", "submit", "--cmd", command, "--cmd-type=system", **project)
        pid = wait_for(lambda: pid_file.exists() and pid_file.read_text().strip(), "a process")
        stray = psutil.Process(int(pid))
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
        assert alive([stray]) == []


STRAYS = """
import subprocess, time
for own in ({}, {"env": {}}, {"start_new_session": True}):
    subprocess.Popen(["/bin/sleep", "600"], **own)
time.sleep(600)
"""


def test_killed_it_leaves_no_process_nor_file(project):
    with up(project, "--bind=127.0.0.1:0", "--engines=2") as (process, line):
        line("ready +http://")
        services = json.loads((state_of(project) / "services.json").read_text())
        private = Path(services["redis_url"].partition("@")[2]).parent
        assert private.is_dir()
        manage("moi", "submit", f"--cmd={STRAYS}", **project)
        manage("moi", "submit", "--cmd=sleep 600", "--cmd-type=system", **project)
        wait_for(lambda: len([each for each in started_by(process) if is_sleeper(each)]) == 4)
        started = started_by(process)
        process.kill()
        process.wait()
        wait_for(lambda: not alive(started), "the end of all that was started")
        assert not private.exists()
        assert not (state_of(project) / "services.json").exists()
    # And the next one is not disturbed by what the killed one has left.
    with up(project, "--no-server") as (_, line):
        line("ready")


def test_it_can_be_stopped_while_it_starts(project):
    with up(project, "--bind=127.0.0.1:0") as (process, line):
        line("redis")
        started = started_by(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert alive(started) == []


SCRIPT = "from moi_django.contrib.command_line.console import main; main()"


def test_settings_may_be_named_behind_the_verb(project, tmp_path):
    def complaint(env, *command):
        command = [sys.executable, *command]
        ran = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
        return ran.stderr

    env = environment(**project, DJANGO_SETTINGS_MODULE="nonsense")
    command = ["-m", "django", "moi", "users", "--settings", "tests.settings"]
    assert "moi has no Redis" in complaint(env, *command)
    # For the script of ours there need be neither a variable nor a manage.py.
    del env["DJANGO_SETTINGS_MODULE"], env["PYTHONPATH"]
    command = ["-c", SCRIPT, "users", "--settings=tests.settings", f"--pythonpath={ROOT}"]
    assert "moi has no Redis" in complaint(env, *command)


def test_what_is_no_site_is_not_started_and_what_is_not_migrated_is_said(project):
    env = {**project, "MOI_TEST_APPLICATION": "tests.nowhere.application"}
    ran = manage("moi", "up", "--no-server", **env)
    assert ran.returncode == 1
    assert "moi.E009" in ran.stderr and "redis " not in ran.stdout
    Path(project["MOI_TEST_DATABASE"]).unlink()
    with up(env, "--no-server", "--skip-checks") as (_, line):
        assert line(r"You have \d+ unapplied migration")
        line("redis ")


def test_a_server_that_cannot_start_ends_it_with_the_reason(project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = manage("moi", "up", f"--bind=127.0.0.1:{taken.getsockname()[1]}", **project)
    assert (ran.returncode, "redis " in ran.stdout) == (1, False)
    assert "Address already in use" in ran.stderr
    assert "--bind HOST:PORT" in ran.stderr
    assert "is no address to serve on" in manage("moi", "up", "--bind=nonsense", **project).stderr


def test_a_child_that_dies_ends_the_rest(project):
    with up(project, f"--bind=127.0.0.1:{free_port()}") as (process, line):
        line("ready")
        started = started_by(process)
        [server] = [
            child
            for child in started
            if "moi_django.contrib.services.web_server" in child.cmdline()
        ]
        server.kill()
        assert process.wait(20) == 1
        assert "The web server ended by itself" in process.stderr.read()
        assert alive(started) == []


def test_the_end_of_its_redis_ends_the_rest(project):
    with up(project, "--no-server") as (process, line):
        line("ready")
        started = started_by(process)
        [server] = [child for child in started if child.name() in ("valkey-server", "redis-server")]
        server.kill()
        assert process.wait(20) == 1
        assert "Redis ended by itself" in process.stderr.read()
        assert alive(started) == []


def test_a_redis_that_is_named_is_used_and_left_alone(project, site_env, store):
    env = {**project, **site_env}
    with up(env, "--no-server") as (process, line):
        assert "the one at unix://" in line("redis .*")[0]
        line("ready")
        assert not [word for word in words_of(started_by(process)) if "valkey" in word]
        # Odd messages of others do not end it.
        for odd in ('{"add": ["\\ud800"]}', "7", "{", '{"add": 7}', "[" * 10_000):
            store.connection.redis.publish(store.keys.channel("x"), odd)
        ran = manage("moi", "submit", "--cmd", "return 1", "--block", **env)
        assert "Success" in ran.stdout
        assert line("Success")
        process.terminate()
        assert process.wait(20) == 0
    store.connection.server_time()
    ran = manage("moi", "up", "--no-server", **{**env, "MOI_REDIS_URL": "redis://127.0.0.1:1"})
    assert (ran.returncode, "redis " in ran.stdout) == (1, False)
    assert "Redis at redis://127.0.0.1:1" in ran.stderr
