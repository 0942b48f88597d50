"""Jobs by the clock: one a tick, whoever looks, whoever dies, however long nobody looked."""

import json
import logging
import multiprocessing
import threading
from datetime import datetime

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from moi_django import Group, Options
from moi_django.cluster.reconciler import Reconciler
from moi_django.contrib.schedules import registry, scheduled
from moi_django.contrib.schedules.runner import ScheduleRunner, get_states, tick_id
from moi_django.contrib.schedules.store import LIFETIME, ScheduleState
from moi_django.exceptions import InvalidJob, StoreUnavailable
from moi_django.models import State
from tests.helpers.processes import environment, manage
from tests.helpers.schedules import (
    AFTER,
    BEFORE,
    NOON,
    Clock,
    add_line,
    look_by_turns,
    settings_with,
)

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
WORK = "tests.site.work.triple"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def schedule(moi, monkeypatch):
    """Return what makes an entry of the settings: every hour, unless it says otherwise."""
    monkeypatch.setattr(registry, "_decorated", {})

    def schedule(name="hourly", **given):
        entry = {"func": WORK, "cron": "0 * * * *", "owner": "ops", "args": (2,), "tz": "UTC"}
        moi["SCHEDULE"] = {**moi.get("SCHEDULE", {}), name: {**entry, **given}}

    return schedule


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def said():
    return []


@pytest.fixture
def runner(moi, store, clock, said):
    return ScheduleRunner(said.append, clock)


def jobs(owner="ops"):
    return [job.info for job in Group.of(owner).jobs()]


def at(runner, clock, *times):
    """Look at each of these times, seconds after noon; return how many jobs there are then."""
    for seconds in times:
        clock.now = NOON + seconds
        runner.run_due()
    return len(jobs())


def end(store, id, state=State.SUCCESS):
    store.jobs.change(id, lambda info: info.ended(state))


# One run a tick


def test_it_runs_at_each_tick_from_the_first_look_on(schedule, runner, clock, store, said):
    schedule(overlap=True)
    assert at(runner, clock, 10, 20, HOUR - 1) == 0
    assert at(runner, clock, HOUR) == 1
    assert at(runner, clock, HOUR + 1, HOUR + 2) == 1
    assert at(runner, clock, 2 * HOUR + 0.5) == 2
    [first, second] = jobs()
    assert [first.id, second.id] == [tick_id("hourly", NOON + n * HOUR) for n in (1, 2)]
    assert (first.name, first.state, first.context) == ("hourly", State.QUEUED, "default")
    assert said == [f"the schedule 'hourly' runs job {job.id}" for job in (first, second)]


def test_what_is_said_of_it_reaches_the_job(schedule, runner, clock, moi, store):
    moi["CONTEXTS"] = {"default": {}, "lab": {"profile": "nothing-there"}}
    schedule(context="lab", options={"retries": 2}, owner="someone else")
    schedule("other", options=Options(retries=4), func=add_line, kwargs={"path": "x"}, args=[])
    at(runner, clock, 0, HOUR)
    [job] = jobs("someone else")
    assert (job.context, job.attempts) == ("lab", 3)
    [other] = jobs()
    assert (other.context, other.attempts) == ("default", 5)


def test_what_cannot_be_sent_is_a_job_that_has_failed(schedule, runner, clock):
    schedule(args=(threading.Lock(),))
    assert at(runner, clock, 0, HOUR, HOUR + 1) == 1
    assert jobs()[0].state is State.FAILED and "cannot be pickled" in jobs()[0].result


def test_a_job_that_was_removed_does_not_run_again(schedule, runner, clock, store):
    schedule()
    at(runner, clock, 0, HOUR)
    store.tree.remove(jobs()[0].id)
    assert at(runner, clock, HOUR + 1, HOUR + 2) == 0


def test_one_that_looks_slowly_does_not_run_again_what_another_has_run(
    schedule, runner, clock, store
):
    schedule()
    at(runner, clock, 0)
    clock.now = NOON + HOUR

    def slow_clock():
        """Tell the time when another one has run the job, and somebody has removed it."""
        runner.run_due()
        store.tree.remove(jobs()[0].id)
        return clock.now

    ScheduleRunner(logging.debug, slow_clock).run_due()
    assert jobs() == []


@pytest.fixture
def processes(moi, monkeypatch):
    """Return what lets processes look at the same times; it returns their exit codes."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)

    def run(times, count=1, dies=""):
        context = multiprocessing.get_context("spawn")
        given = (context.Barrier(count), moi, times, dies)
        started = [context.Process(target=look_by_turns, args=given) for _ in range(count)]
        for process in started:
            process.start()
        for process in started:
            process.join(120)
        return [process.exitcode for process in started]

    return run


def test_processes_that_look_at_once_run_each_of_50_ticks_once(schedule, processes, store):
    schedule("overlapping", cron="* * * * *", overlap=True)
    schedule("daily", cron="30 12 * * *", overlap=True)
    times = [NOON + n * MINUTE for n in range(51)]
    assert processes(times, count=3) == [0, 0, 0]
    ids = [job.id for job in jobs()]
    expected = [tick_id("overlapping", each) for each in times[1:]]
    assert sorted(ids) == sorted([*expected, tick_id("daily", NOON + 30 * MINUTE)])
    assert len(store.queue.first_waiting(jobs()[0].queue)) == 51


def test_reconcilers_that_look_at_once_run_each_tick_once(schedule, store):
    schedule(cron="* * * * *", overlap=True)
    count = 4
    clocks, barrier = [Clock() for _ in range(count)], threading.Barrier(count)

    def reconcile(clock):
        reconciler = Reconciler(logging.debug, [ScheduleRunner(logging.debug, clock).run_due])
        for number in range(20):
            # The clocks of servers after a failover differ, too.
            clock.now = NOON + number * MINUTE + clocks.index(clock) / 10
            barrier.wait(30)
            reconciler.reconcile()

    threads = [threading.Thread(target=reconcile, args=[clock]) for clock in clocks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(job.id for job in jobs()) == sorted(
        tick_id("hourly", NOON + number * MINUTE) for number in range(1, 20)
    )


@pytest.mark.parametrize("overlap", [True, False])
def test_a_process_that_dies_after_it_has_created_the_job_loses_and_doubles_nothing(
    schedule, processes, runner, clock, overlap, said
):
    schedule(overlap=overlap)
    assert processes([NOON, NOON + HOUR], dies=AFTER) == [-9]
    assert len(jobs()) == 1
    assert get_states().read_all()["hourly"].last < NOON + HOUR
    assert at(runner, clock, HOUR + 1, HOUR + 2) == 1
    assert get_states().read_all()["hourly"].last == NOON + HOUR
    assert said == []
    # It is known to the next tick, too.
    assert at(runner, clock, 2 * HOUR) == (2 if overlap else 1)


def test_the_job_of_a_process_that_died_is_waited_for_at_the_next_tick(
    schedule, processes, runner, clock, store
):
    schedule()
    assert processes([NOON, NOON + HOUR], dies=AFTER) == [-9]
    # Nobody has looked in between.
    assert at(runner, clock, 2 * HOUR) == 1
    end(store, jobs()[0].id)
    assert at(runner, clock, 3 * HOUR) == 2


def test_a_process_that_dies_before_it_has_created_the_job_loses_nothing(
    schedule, processes, runner, clock
):
    schedule()
    assert processes([NOON, NOON + HOUR], dies=BEFORE) == [-9]
    assert jobs() == []
    assert at(runner, clock, HOUR + 1, HOUR + 2) == 1


# What was missed


def test_of_what_was_missed_the_latest_runs_once(schedule, runner, clock):
    schedule(overlap=True)
    assert at(runner, clock, 10, 7 * HOUR + 600, 7 * HOUR + 601) == 1
    assert jobs()[0].id == tick_id("hourly", NOON + 7 * HOUR)
    assert at(runner, clock, 8 * HOUR) == 2


def test_what_was_missed_is_left_out_where_that_is_wanted(schedule, runner, clock, said):
    schedule(missed="skip", overlap=True)
    assert at(runner, clock, 10, 7 * HOUR + 61, 7 * HOUR + 62) == 0
    assert said == ["the schedule 'hourly' leaves out what it has missed"]
    assert at(runner, clock, 8 * HOUR + 60) == 1


def test_a_new_line_makes_up_for_nothing(schedule, runner, clock):
    schedule(cron="0 0 1 * *")
    at(runner, clock, 10)
    schedule(cron="30 * * * *")
    assert at(runner, clock, 10 * DAY) == 0
    assert at(runner, clock, 10 * DAY + HOUR / 2) == 1


def test_reconcilers_of_two_versions_lose_no_tick(schedule, runner, clock):
    for seconds in range(0, 3 * 3600, 29):
        clock.now = NOON + seconds
        for cron in ("0 * * * *", "30 * * * *"):
            schedule(cron=cron, overlap=True)
            runner.run_due()
    assert sorted(job.id for job in jobs()) == sorted(
        tick_id("hourly", NOON + number * HOUR / 2) for number in range(1, 6)
    )


def test_a_clock_that_was_ahead_stops_nothing_for_long(schedule, runner, clock):
    schedule(overlap=True)
    assert at(runner, clock, 0, 1000 * DAY, 10, HOUR) == 2
    # Set back a little, it runs nothing twice.
    assert at(runner, clock, HOUR - 600, HOUR + 1) == 2


# While the former run is unfinished


def test_a_tick_is_left_out_while_the_former_run_is_unfinished(
    schedule, runner, clock, store, said
):
    schedule()
    assert at(runner, clock, 0, HOUR, 2 * HOUR) == 1
    [job] = jobs()
    assert said[-1] == f"the schedule 'hourly' leaves out a run: job {job.id} is not finished"
    end(store, job.id)
    # It is left out, not put off.
    assert at(runner, clock, 2 * HOUR + 30) == 1
    assert at(runner, clock, 3 * HOUR) == 2


def test_runs_may_overlap_where_that_is_wanted(schedule, runner, clock):
    schedule(overlap=True)
    assert at(runner, clock, 0, HOUR, 2 * HOUR, 3 * HOUR) == 3


@pytest.mark.parametrize("state", [State.FAILED, State.LOST, State.CANCELLED])
def test_however_the_former_run_has_ended_the_next_one_begins(
    schedule, runner, clock, store, state
):
    schedule()
    at(runner, clock, 0, HOUR)
    end(store, jobs()[0].id, state)
    assert at(runner, clock, 2 * HOUR) == 2


# What goes wrong


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"cron": "nonsense"}, "no cron line"),
        ({"tz": "Nowhere"}, "no time zone"),
        ({"owner": ""}, "needs an owner"),
        ({"func": "nowhere.to.be.found"}, "cannot be imported"),
        ({"context": "unheard of"}, "knows nothing"),
        ({"options": {"retrys": 1}}, "retrys"),
        ({"speed": 5}, "speed"),
    ],
)
def test_one_that_cannot_run_says_so_once_and_keeps_no_other_from_it(
    schedule, runner, clock, said, wrong, words
):
    schedule()
    schedule("a wrong one", **wrong)
    assert at(runner, clock, 0, HOUR, HOUR + 1, HOUR + 2) == 1
    [told] = [text for text in said if "runs job" not in text]
    assert told.startswith("the schedule 'a wrong one' does not run: ") and words in told


def test_what_was_put_right_runs_late(schedule, runner, clock):
    schedule(owner="")
    assert at(runner, clock, 0, HOUR, HOUR + 600) == 0
    schedule()
    assert at(runner, clock, HOUR + 601) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"7",
        b'{"last": "x"}',
        b'{"last": NaN, "line": "", "jobs": [], "paused": false}',
    ],
)
def test_whatever_stands_in_its_hash_it_goes_on(schedule, runner, clock, store, raw):
    schedule()
    store.connection.redis.hset(store.keys.schedules, "hourly", raw)
    store.connection.redis.hset(store.keys.schedules, b"\xfe", raw)
    assert at(runner, clock, 0, HOUR) == 1


def test_a_key_of_another_kind_is_said_and_jobs_are_looked_after(schedule, store, said, clock):
    schedule()
    store.connection.redis.set(store.keys.schedules, "x")
    reconciler = Reconciler(said.append, [ScheduleRunner(said.append, clock).run_due])
    for _ in range(2):
        reconciler.reconcile()
    assert len(said) == 1 and "WRONGTYPE" in said[0]
    with pytest.raises(StoreUnavailable):
        ScheduleRunner(said.append, clock).run_due()


def test_its_key_is_kept_for_longer_than_jobs(schedule, runner, clock, store):
    schedule()
    at(runner, clock, 0)
    store.connection.redis.expire(store.keys.schedules, 10)
    at(runner, clock, 1)
    assert LIFETIME - 10 < store.connection.redis.ttl(store.keys.schedules) <= LIFETIME


def test_without_schedules_redis_is_not_asked(moi, monkeypatch, said):
    monkeypatch.setattr(registry, "_decorated", {})
    moi["REDIS_URL"] = "redis://127.0.0.1:1/0"
    ScheduleRunner(said.append).run_due()
    assert said == []


def test_without_a_clock_of_its_own_it_takes_that_of_redis(schedule, store):
    schedule(cron="* * * * * *")
    ScheduleRunner(logging.debug).run_due()
    assert abs(get_states().read_all()["hourly"].last - store.connection.server_time()) < 60


# Functions that are decorated


def test_a_decorated_function_is_found_in_the_jobs_of_an_app(
    moi, store, settings, tmp_path, monkeypatch, clock, said
):
    monkeypatch.setattr(registry, "_decorated", {})
    package = tmp_path / "clockwork"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "jobs.py").write_text(
        "from moi_django.contrib.schedules import scheduled\n"
        "@scheduled('0 3 * * *', tz='Europe/Berlin', owner='ops', missed='skip')\n"
        "def tidy():\n    return 'tidy'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "clockwork"]
    assert registry.names() == []
    at(ScheduleRunner(said.append, clock), clock, 0, 14 * HOUR + 5)
    [job] = jobs()
    assert (job.name, job.id) == ("clockwork.jobs.tidy", tick_id(job.name, NOON + 14 * HOUR))


@pytest.fixture
def brokenwork(settings, tmp_path, monkeypatch):
    """An app whose functions cannot be imported."""
    package = tmp_path / "brokenwork"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "jobs.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "brokenwork"]


def test_an_app_whose_functions_cannot_be_imported_keeps_no_other_from_running(
    schedule, brokenwork, clock, said, caplog
):
    schedule()
    assert at(ScheduleRunner(said.append, clock), clock, 0, 1, HOUR) == 1
    assert said[0] == "some scheduled functions cannot be imported: see the log"
    assert "ZeroDivisionError" in caplog.text and len(said) == 2
    [found] = run_checks(tags=["moi"])
    assert found.id == "moi.E024" and "ZeroDivisionError" in found.msg


def test_the_decorator_returns_the_function_and_wants_an_owner(schedule):
    def tidy():
        """Do nothing."""

    assert scheduled("0 3 * * *", owner="ops", name="tidy")(tidy) is tidy
    assert registry.find("tidy").func is tidy
    with pytest.raises(InvalidJob, match="needs an owner"):
        scheduled("0 3 * * *")(tidy)
    with pytest.raises(InvalidJob, match="'speed'"):
        scheduled("0 3 * * *", owner="ops", speed=5)(tidy)
    # As when a module is imported anew.
    scheduled("0 4 * * *", owner="ops", name="tidy")(tidy)
    with pytest.raises(InvalidJob, match="are both called 'tidy'"):
        scheduled("0 4 * * *", owner="ops", name="tidy")(add_line)
    # The site has the last word.
    schedule("tidy", owner="site")
    assert registry.find("tidy").owner == "site"


# The command


def run(*arguments, capsys):
    call_command("moi", "schedule", *arguments)
    return capsys.readouterr().out


def test_the_command_lists_what_there_is(schedule, runner, clock, store, capsys):
    assert run(capsys=capsys) == "There are no schedules.\n"
    schedule("nightly", cron="0 3 * * *", tz="Europe/Berlin", owner="ada")
    schedule()
    runner.run_due()
    [hourly, nightly] = json.loads(run("--json", capsys=capsys))
    assert hourly["last"] is hourly["last_job"] is hourly["last_state"] is None
    following = datetime.fromisoformat(nightly["next"])
    assert (following.hour, following.minute) == (3, 0)
    assert 0 < following.timestamp() - store.connection.server_time() <= 25 * HOUR
    assert (nightly["cron"], nightly["tz"], nightly["owner"], nightly["paused"]) == (
        *("0 3 * * *", "Europe/Berlin", "ada", False),
    )
    at(runner, clock, HOUR)
    end(store, jobs()[0].id)
    lines = run(capsys=capsys).splitlines()
    assert len(lines) == 2 and "never ran" in lines[1]
    assert lines[0].startswith("hourly : 0 * * * * (UTC) : ops : next ")
    assert lines[0].endswith(f" UTC success {jobs()[0].id}")


def test_the_command_says_which_cannot_run(schedule, settings, brokenwork, capsys):
    schedule()
    schedule("wrong", cron="nonsense")
    call_command("moi", "schedule")
    out, err = capsys.readouterr()
    hourly, wrong = out.splitlines()
    assert wrong.startswith("wrong : cannot run : 'nonsense' is no cron line")
    assert hourly.endswith("never ran") and "ZeroDivisionError" in err
    found = json.loads(run("--json", capsys=capsys))
    assert [each["error"] is None for each in found] == [True, False]


def test_the_command_runs_one_now(schedule, runner, clock, store, capsys):
    schedule()
    id = run("--run", "hourly", capsys=capsys).split()[-1]
    [job] = jobs()
    assert (job.id, job.name) == (id, "hourly")
    assert json.loads(run("--json", capsys=capsys))[0]["last_job"] == id
    # The next run waits for it.
    state = get_states().read_all()["hourly"]
    get_states().update("hourly", lambda state: ScheduleState(NOON, state.line, state.jobs))
    assert at(runner, clock, HOUR) == 1 and state.last > NOON
    assert json.loads(run("--run", "hourly", "--json", capsys=capsys))["name"] == "hourly"


def test_one_that_pauses_runs_no_tick_and_makes_up_for_none(schedule, runner, clock, store, capsys):
    schedule(cron="* * * * * *", overlap=True)
    assert run("--pause", "hourly", capsys=capsys) == "hourly: paused\n"
    assert run("--pause", "hourly", capsys=capsys) == "hourly: was paused before\n"
    assert run(capsys=capsys).split(" : ")[3] == "paused"
    now = store.connection.server_time()
    assert at(runner, clock, now - NOON + 5) == 0
    answer = json.loads(run("--resume", "hourly", "--json", capsys=capsys))
    assert answer["paused"] is False and answer["next"]
    resumed = get_states().read_all()["hourly"].last
    assert now <= resumed
    assert at(runner, clock, resumed - NOON) == 0
    assert at(runner, clock, resumed - NOON + 2) == 1
    assert run("--resume", "hourly", capsys=capsys) == "hourly: was not paused\n"


@pytest.mark.parametrize("option", ["--run", "--pause", "--resume"])
def test_a_name_that_nobody_knows_is_told_with_those_there_are(schedule, capsys, option):
    with pytest.raises(CommandError, match=r"no schedule 'nightly'. There are none\."):
        call_command("moi", "schedule", option, "nightly")
    schedule()
    schedule("weekly")
    with pytest.raises(CommandError, match=r"no schedule 'nightly'. There are: hourly, weekly\."):
        call_command("moi", "schedule", option, "nightly")


# The checks


@pytest.mark.parametrize(
    ("given", "id", "words", "hint"),
    [
        ({"cron": "99 * * * *"}, "moi.E021", "Bad minute", "quarter"),
        ({"cron": 5}, "moi.E021", "5 is no cron line", "quarter"),
        ({"tz": "Europe/Nowhere"}, "moi.E022", "Europe/Nowhere", "available_timezones"),
        ({"owner": " "}, "moi.E023", "needs an owner", "username"),
        ({"owner": None}, "moi.E023", "needs an owner", "username"),
        ({"func": "tests.site.work.nothing"}, "moi.E024", "cannot be imported", "dotted path"),
        ({"func": 7}, "moi.E024", "cannot be called", "dotted path"),
        ({"missed": "later"}, "moi.E020", "'later'", "nightly"),
        ({"context": "gpu"}, "moi.E020", "'gpu'", "nightly"),
        ({"options": {"retries": -1}}, "moi.E020", "retries is -1", "nightly"),
        ({"args": "ab"}, "moi.E020", "a tuple as args", "nightly"),
        ({"crn": "0 3 * * *"}, "moi.E020", "'crn'", "nightly"),
    ],
)
def test_a_wrong_schedule_is_found_and_says_what_to_do(schedule, given, id, words, hint):
    schedule()
    assert run_checks(tags=["moi"]) == []
    schedule("wrong", **given)
    [found] = run_checks(tags=["moi"])
    assert (found.id, words in found.msg, hint in found.hint) == (id, True, True), found
    assert "wrong" in found.msg


@pytest.mark.parametrize("given", [None, ["hourly"], "hourly"])
def test_what_is_no_dict_is_found_and_runs_nothing(schedule, moi, runner, said, given):
    moi["SCHEDULE"] = given
    runner.run_due()
    assert said == []
    [found] = run_checks(tags=["moi"])
    assert found.id == "moi.E003"


def test_a_name_is_a_text(schedule, moi, runner, clock, said):
    schedule()
    moi["SCHEDULE"][7] = moi["SCHEDULE"]["hourly"]
    assert at(runner, clock, 0, HOUR) == 1
    assert "7 is no name for a schedule" in said[0]
    [found] = run_checks(tags=["moi"])
    assert found.id == "moi.E020"


@pytest.mark.parametrize("entry", [None, {}, {"func": WORK}, {"cron": "0 3 * * *"}, "0 3 * * *"])
def test_an_entry_that_says_too_little_is_found(schedule, moi, entry):
    moi["SCHEDULE"] = {"wrong": entry}
    [found] = run_checks(tags=["moi"])
    assert found.id == "moi.E020" and "give func, cron and owner" in found.msg


def test_without_the_library_that_is_said(schedule, moi, site_env, tmp_path):
    schedule()
    # As Python notes what is not there.
    cronless = "import sys; sys.modules['cronsim'] = None"
    env = settings_with(tmp_path, moi["SCHEDULE"], cronless)
    for arguments, code in ((("check",), 1), (("moi", "reconcile", "--once"), 0)):
        ran = manage(*arguments, **site_env, **env)
        assert ran.returncode == code, ran.stderr
        assert "pip install 'moi_django[schedule]'" in ran.stdout + ran.stderr
        assert ("moi.E025" in ran.stderr) == (arguments == ("check",))
    ran = manage("moi", "schedule", **site_env, **env)
    assert (ran.returncode, "cronsim is missing" in ran.stderr) == (1, True)
