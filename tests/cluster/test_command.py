"""`manage.py moi` in a shell: the transcripts of moi 0.2, byte for byte but for ids and times."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from moi_django import Group
from moi_django.store.logs import OutputPiece
from tests.helpers.processes import ROOT, at_once, environment, manage, wait_for
from tests.helpers.records import job_in

pytestmark = pytest.mark.django_db(transaction=True)

ID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}"

FINISHED = """\
********** <id> **********
context\t\t: default
date_created\t: <date>
date_end\t: <date>
date_start\t: <date>
id\t\t: <id>
name\t\t: no-user-cmd-submit
parent\t\t: <id>
pubsub\t\t: <id>:pubsub
status\t\t: {status}
type\t\t: job
url\t\t: None
result\t\t: {result}

"""
RUNNING = FINISHED.replace("date_end\t: <date>", "date_end\t: None").format(
    status="Running", result="None"
)
CRASH = """\
Traceback (most recent call last):
  File "<string>", line 1, in execwrapper
ValueError: could not convert string to float: 'crash and burn'"""
FOOBAR = """\
Traceback (most recent call last):
  File "<path>calls.py", line <line>, in system_call
    raise ValueError(f"Failed to execute: {cmd}\\nstdout: {stdout}\\nstderr: {stderr}")
ValueError: Failed to execute: foobar
stdout:\x20
stderr: /bin/sh: 1: foobar: not found"""


def masked(text):
    """Return a text with ids, times and places made equal."""
    text = re.sub(r'File "/.*/', 'File "<path>', text)
    text = re.sub(r"line \d+, in system_call", "line <line>, in system_call", text)
    return re.sub(DATE, "<date>", re.sub(ID, "<id>", text))


@pytest.fixture
def env(site_env, connection_file):
    return {**site_env, "MOI_CONNECTION_FILE": connection_file}


@pytest.fixture
def shell(env, transactional_db):
    def shell(*arguments):
        """Run `moi`, which is to succeed, and return what it printed."""
        ran = manage("moi", *arguments, **env)
        assert (ran.returncode, ran.stderr) == (0, "")
        return ran.stdout

    return shell


@pytest.fixture
def failing(env, transactional_db):
    def failing(*arguments, **more):
        """Run `moi`, which is to fail, and return what it complained of."""
        ran = manage("moi", *arguments, **{**env, **more})
        assert (ran.returncode, ran.stdout) == (1, "")
        return ran.stderr

    return failing


def test_python_that_blocks(shell):
    out = shell("submit", "--cmd", "x = 5; return x + 10", "--block")
    assert masked(out) == "Submitted job id: <id>\n" + FINISHED.format(
        status="Success", result="15"
    )
    assert len(set(re.findall(ID, out))) == 2  # the job, and the group of no-user


def test_a_job_waits_for_another_and_shares_its_key(shell, failing):
    def submit(*arguments):
        return json.loads(shell("submit", "--json", *arguments))

    how = ("--cmd=return 1", "--user=ada")
    later = submit(*how, "--run-after=3600", "--unique=report", "--process=warm")
    assert submit(*how, "--unique=report")["id"] == later["id"]
    assert later["unique"] == "report" and later["run_after"] > later["date_created"]
    behind = submit(*how, f"--after={later['id']}", "--on-failure=run", "--name=behind")
    assert (behind["after"], behind["on_failure"]) == ([later["id"]], "run")
    shell("cancel", f"--job-id={later['id']}")
    shell("reconcile", "--once")
    wait_for(lambda: "Success" in shell("job", f"--job-id={behind['id']}"))
    assert "Waits for" in behind["status"]
    assert "is gone or never was" in failing("submit", "--cmd=return 1", "--after=nothing")


def test_a_time_that_is_none_is_refused(env):
    for wrong in ("tomorrow", "1e400", "2026-12-24T08:00"):
        ran = manage("moi", "submit", "--cmd=return 1", f"--run-after={wrong}", **env)
        assert ran.returncode == 2 and "run" in ran.stderr


def test_a_system_call(shell):
    out = shell("submit", "--cmd", "echo 'hello from moi'", "--block", "--cmd-type=system")
    assert masked(out) == "Submitted job id: <id>\n" + FINISHED.format(
        status="Success", result="['hello from moi\\n', '', 0]"
    )


def test_a_job_that_runs_and_then_fails(shell, tmp_path):
    gate = tmp_path / "gate"
    command = f"while [ ! -e {gate} ]; do sleep 0.01; done; foobar"
    out = shell("submit", "--cmd", command, "--cmd-type=system")
    assert masked(out) == "Submitted job id: <id>\n"
    [id] = re.findall(ID, out)
    show = ("job", f"--job-id={id}")
    wait_for(lambda: masked(shell(*show)) == RUNNING)
    gate.touch()
    wait_for(lambda: "Failed" in shell(*show))
    end = masked(shell(*show)).replace(command, "foobar")
    expected = FINISHED.format(status="Failed", result=FOOBAR)
    # How a shell words it is its own affair.
    assert re.sub("/bin/sh: .*", "/bin/sh", end) == re.sub("/bin/sh: .*", "/bin/sh", expected)


def test_the_jobs_of_a_user(shell, failing):
    assert failing("userjobs", "--key=example") == "Unknown key: example\n"
    good = shell("submit", "--user=example", "--cmd", "return 42")
    bad = shell("submit", "--user=example", "--cmd", "return float('crash and burn')")
    wait_for(lambda: '"running"' not in (out := shell("userjobs", "--key=example", "--json"))
             and '"queued"' not in out)  # fmt: skip
    out = shell("userjobs", "--key=example")
    assert masked(out) == (
        FINISHED.format(status="Success", result="42")
        + FINISHED.format(status="Failed", result=CRASH)
    )
    ids = re.findall(ID, good) + re.findall(ID, bad)
    assert re.findall(rf"\*\*\* ?({ID})|\* ({ID})", out) != []
    summary = shell("userjobs", "--key=example", "--summary")
    assert re.sub(DATE, "<date>", summary) == (
        f"date: <date>\tid: {ids[0]}\tstatus: Success\ndate: <date>\tid: {ids[1]}\tstatus: Failed\n"
    )
    # The user's UUID does as well as the name.
    users = shell("users")
    [uuid] = re.findall(rf"^example : ({ID})$", users, re.MULTILINE)
    assert shell("userjobs", f"--key={uuid}", "--summary") == summary


def test_a_user_of_the_site_is_found_by_name_even_after_a_rename(shell, failing):
    ada = get_user_model().objects.create_user("ada")
    shell("submit", "--user=ada", "--cmd", "return 1", "--name=a job")
    ada.username = "countess"
    ada.save()
    assert len(json.loads(shell("userjobs", "--key=countess", "--json"))) == 1
    assert failing("userjobs", "--key=ada") == "Unknown key: ada\n"
    heir = get_user_model().objects.create_user("ada")
    assert failing("userjobs", "--key=ada") == "Unknown key: ada\n"
    assert Group.of(heir).jobs() == []
    assert set(json.loads(shell("users", "--json"))) == {"countess", "ada"}


def test_errors_are_one_line_and_exit_code_1(failing):
    id = "00000000-0000-4000-8000-000000000000"
    assert failing("users") == "No user-id-map found\n"
    assert failing("job", "--job-id=x") == "Does not look like a job id\n"
    assert failing("job", f"--job-id={id}") == "Job ID not found\n"
    assert failing("userjobs", f"--key={id}") == f"Unknown key: {id}\n"
    assert "cannot own a job" in failing("submit", "--cmd=return 1", "--user=")


NO_JOB = f"--job-id={'0' * 8}-0000-4000-8000-{'0' * 12}"
NEED_REDIS = [
    *("submit --cmd=1", "userjobs --key=x", "users", f"job {NO_JOB}", f"cancel {NO_JOB}"),
    *("drain --wait", "schedule", "reconcile", "reconcile --once"),
]
ABSENT = {
    "none": ("", "manage.py moi up"),
    "dead": ("redis://127.0.0.1:1/0", "MOI_REDIS_URL"),
    "silent": ("redis://{}:{}/0", "MOI_REDIS_URL"),
    "silent with a password": ("redis://:secret@{}:{}/0", "MOI_REDIS_URL"),
}


@pytest.mark.parametrize(
    ("arguments", "redis"),
    [
        # All look for it in one place, where one of them is enough to be told of each kind.
        *((arguments, "dead") for arguments in NEED_REDIS),
        *((each, redis) for each in ("users", "reconcile") for redis in ABSENT if redis != "dead"),
    ],
)
def test_without_services_every_command_says_at_once_how_to_start_them(
    failing, tmp_path, silent, arguments, redis
):
    url, advice = ABSENT[redis]
    arguments = arguments.split()
    env = {"MOI_TEST_DIR": str(tmp_path), "MOI_REDIS_URL": url.format(*silent.getsockname())}

    said = at_once(lambda: failing(*arguments, **env))
    assert said.count("\n") == 1
    assert advice in said
    assert ".." not in said


def test_without_a_cluster_a_job_waits_and_submit_says_so_at_once(
    tmp_path, connection_file, site_env, store
):
    dead = tmp_path / "dead.json"
    text = Path(connection_file).read_text()
    dead.write_text(re.sub(r'"registration": \d+', '"registration": 1', text))

    def submit(file):
        before = store.queue.waiting_count("default")
        ran = manage("moi", "submit", "--cmd=return 1", **site_env, MOI_CONNECTION_FILE=str(file))
        assert ran.returncode == 0 and ran.stdout.startswith("Submitted job id: ")
        assert ran.stderr.count("\n") == 1
        assert ran.stderr.startswith("Jobs wait: ") and "manage.py moi up" in ran.stderr
        assert store.queue.waiting_count("default") == before + 1

    for file in (dead, tmp_path / "none.json"):
        at_once(lambda file=file: submit(file))


def test_a_text_is_printed_as_it_is(shell):
    code = "return 'it is ' + chr(39) + 'so' + chr(39) + chr(10) + 'twice' + chr(27)"
    out = shell("submit", "--cmd", code, "--block")
    assert out.endswith("result\t\t: it is 'so'\ntwice\ufffd\n\n")


@pytest.mark.parametrize("json", [[], ["--json"]], ids=["", "as JSON"])
def test_who_waits_for_what_fails_is_told_by_the_exit_code(env, transactional_db, json):
    ran = manage("moi", "submit", "--cmd", "1 / 0", "--block", *json, **env)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "ZeroDivisionError" in ran.stdout
    ran = manage("moi", "submit", "--cmd", "1 / 0", *json, **env)
    assert ran.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["submit", "--cmd", "("], "--cmd is no Python code: "),
        (["submit", "--cmd", "1", "--retries=-1"], "retries is -1: give a whole number"),
        (["submit", "--cmd", "1", "--timeout=0"], "timeout is 0.0: give seconds"),
        (["submit", "--cmd", "1", "--retry-on-lost"], "retry_on_lost needs retries"),
        (["submit", "--cmd", "1", "--context=none"], "Unknown context: none"),
        (["submit"], "required: --cmd"),
        (["sbmit"], "invalid choice: 'sbmit'"),
        (["up", "--bind=here"], "'here' is no address to serve on: give HOST:PORT."),
    ],
    ids=str,
)
def test_what_makes_no_sense_has_the_exit_code_2(env, transactional_db, arguments, complaint):
    ran = manage("moi", *arguments, **env)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert complaint in ran.stderr


PROJECT = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
"""


def run_script(*arguments, cwd, **env):
    """Run the `moi` that an installation has."""
    script = Path(sys.executable).with_name("moi")
    given = environment(**env, PYTHONPATH=str(ROOT))
    del given["DJANGO_SETTINGS_MODULE"]
    return subprocess.run([script, *arguments], cwd=cwd, env=given, capture_output=True, text=True)


def test_a_script_finds_the_settings_of_its_project(env, transactional_db, tmp_path):
    (tmp_path / "manage.py").write_text(PROJECT)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    ran = run_script("submit", "--cmd", "return 6 * 7", "--block", cwd=below, **env)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert masked(ran.stdout) == "Submitted job id: <id>\n" + FINISHED.format(
        status="Success", result="42"
    )
    ran = run_script("submit", "-h", cwd=tmp_path, **env)
    assert ran.stdout.startswith("usage: moi submit [-h] --cmd CMD")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "there is no manage.py here or above"), ("pass", "manage.py names none")],
)
def test_a_script_without_settings_says_where_to_call_it(env, tmp_path, text, complaint):
    if text is not None:
        (tmp_path / "manage.py").write_text(text)
    ran = run_script("users", cwd=tmp_path, **env)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("moi finds no settings, ") and complaint in ran.stderr


def test_json_of_everything(shell, moi):
    job = json.loads(shell("submit", "--cmd", "return {'a': [1]}", "--block", "--json"))
    assert (job["status"], job["state"], job["result"]) == ("Success", "success", {"a": [1]})
    assert json.loads(shell("job", f"--job-id={job['id']}", "--json")) == job
    assert json.loads(shell("userjobs", "--key=no-user", "--json")) == [job]
    brief = {key: job[key] for key in ("date_created", "id", "status")}
    assert json.loads(shell("userjobs", "--key=no-user", "--summary", "--json")) == [brief]
    assert json.loads(shell("users", "--json")) == {"no-user": job["parent"]}


def test_ctrl_c_stops_the_wait_and_not_the_job(shell, env, tmp_path):
    gate = tmp_path / "gate"
    command = f"while [ ! -e {gate} ]; do sleep 0.01; done"
    submit = ["moi", "submit", "--block", "--cmd-type=system", "--cmd", command]
    waiting = subprocess.Popen(
        [sys.executable, "-m", "django", *submit],
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    [id] = re.findall(ID, waiting.stdout.readline())
    wait_for(lambda: "Running" in shell("job", f"--job-id={id}"))
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate()
    assert (waiting.returncode, out) == (130, "")
    assert err == f"The job goes on: manage.py moi job --job-id={id}\n"
    gate.touch()
    wait_for(lambda: "Success" in shell("job", f"--job-id={id}"))


def test_many_submissions_in_a_row_all_arrive(shell, moi):
    for _ in range(4):
        shell("submit", "--cmd", "return 1", "--user=many")
    wait_for(lambda: Group.of("many").totals() == {"success": 4})


def test_alone_it_prints_its_usage(moi, capsys):
    call_command("moi")
    out = capsys.readouterr().out
    assert out.startswith("usage: ")
    verbs = re.findall(r"^    (\w+) ", out, re.MULTILINE)
    assert verbs == [
        *("submit", "job", "logs", "cancel", "retry", "prefer", "run", "userjobs", "users"),
        *("top", "watch", "health", "doctor", "pause", "resume", "drain", "engines", "cluster"),
        *("schedule", "reconcile", "up"),
    ]


def test_logs_are_shown_and_followed(shell, env, tmp_path):
    gate = tmp_path / "gate"
    code = f"""
import os, time
print("\x1b[31mred\x1b[0m \x1b[2Jand\x07 harm\u202eless: \u00a0\u3000\u200d")
while not os.path.exists({str(gate)!r}): time.sleep(0.01)
print("at the end")
"""
    [id] = re.findall(ID, shell("submit", "--cmd", code))
    following = subprocess.Popen(
        [sys.executable, "-m", "django", "moi", "logs", f"--job-id={id}", "--follow"],
        env=environment(**env),
        stdout=subprocess.PIPE,
        text=True,
    )
    line = "\x1b[31mred\x1b[0m and harm\ufffdless: \u00a0\u3000\u200d\n"
    assert following.stdout.readline() == line
    gate.touch()
    assert following.communicate(timeout=30)[0] == "at the end\n"
    assert following.returncode == 0
    show = ("logs", f"--job-id={id}")
    assert shell(*show) == line + "at the end\n"
    pieces = json.loads(shell(*show, "--json"))
    assert {piece["stream"] for piece in pieces} == {"stdout"}


@pytest.mark.parametrize(
    ("said", "end"), [("\x1b[31mred\n", "\x1b[0m"), ("\x1b[31mred\x1b[0m\n", ""), ("plain\n", "")]
)
@pytest.mark.parametrize("is_interrupted", [False, True])
def test_logs_leave_no_colours_on(env, store, said, end, is_interrupted):
    job = job_in(store, Group.of("example"), "a job")
    store.logs.open(job.id).append([OutputPiece("stdout", said)], 1000)
    follow = ["--follow"] if is_interrupted else []
    with subprocess.Popen(
        [sys.executable, "-m", "django", "moi", "logs", f"--job-id={job.id}", *follow],
        env=environment(**env),
        stdout=subprocess.PIPE,
        text=True,
    ) as telling:
        assert telling.stdout.readline() == said
        if is_interrupted:
            telling.send_signal(signal.SIGINT)
        assert telling.stdout.read() == end
    assert telling.returncode == (130 if is_interrupted else 0)


@pytest.mark.parametrize("read", [0, 1])
def test_who_reads_no_further_is_told_no_more(shell, env, store, read):
    job = job_in(store, Group.of("example"), "a job")
    store.logs.open(job.id).append([OutputPiece("stdout", "a line\n" * 500_000)], 10_000_000)
    with subprocess.Popen(
        [sys.executable, "-m", "django", "moi", "logs", f"--job-id={job.id}"],
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as telling:
        for _ in range(read):
            assert telling.stdout.readline() == "a line\n"
        telling.stdout.close()
        assert telling.stderr.read() == ""
    assert telling.returncode == 141


def test_called_from_python_it_raises(moi):
    with pytest.raises(CommandError, match="Unknown key: nobody"):
        call_command("moi", "userjobs", "--key=nobody")


def test_a_name_cannot_steer_the_terminal_of_who_lists_it(shell, store):
    job_in(store, Group.of("example"), "a\x1b[2Jb")
    assert "\x1b" not in shell("userjobs", "--key=example")


def test_help_imports_nothing_that_is_slow(env):
    code = """
import atexit, sys
from django.core.management import execute_from_command_line
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
execute_from_command_line(["manage.py", "moi", "--help"])
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(**env),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(ran.stderr.split())
    assert "moi_django.contrib.command_line.command" in imported
    slow = {"redis", "ipyparallel", "IPython", "cloudpickle", "uvicorn", "twisted", "rich"}
    assert not imported & slow
