"""Two jobs, one after the other on one engine: the second finds nothing of the first."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest
from django.conf import settings

from moi_django import Options, submit_nouser
from moi_django.models import State
from tests.helpers import odd_jobs
from tests.helpers.processes import wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30
EVENT_LOOP = """
import asyncio
try:
    value = asyncio.get_event_loop().run_until_complete(asyncio.sleep(0, "slept"))
except RuntimeError as error:
    value = str(error)
"""


def output_of(store, job):
    """Return what a job has printed and logged."""
    job.wait(SOON)
    return "".join(entry.piece.text for entry in store.logs.open(job.id).read_all())


def the_engine():
    """Return the process of the engine."""
    fork_server = submit_nouser(os.getppid).value(SOON)
    return psutil.Process(fork_server).parent()


@pytest.mark.parametrize(
    ("change", "look"),
    [
        (work.draw, work.drawn),
        (work.silence_loggers, work.log_loudly),
        (work.go_abroad, work.where),
        (work.change_process, work.process_as_found),
    ],
    ids=["pyplot", "logging", "django", "process"],
)
def test_what_a_job_changes_is_as_before_for_the_next(engine, moi, change, look):
    pytest.importorskip("matplotlib")
    moi["PRELOAD"] = ("matplotlib.pyplot",)
    before = submit_nouser(look).value(SOON)
    assert submit_nouser(work.in_turn, change, look).value(SOON) != before
    assert submit_nouser(look).value(SOON) == before


def test_a_logger_speaks_after_a_job_that_has_silenced_it(engine, store):
    submit_nouser(work.silence_loggers).value(SOON)
    assert output_of(store, submit_nouser(work.log_loudly)).endswith("WARNING lab: loud\n")


@pytest.mark.parametrize("preload", [(), ("tests.helpers.odd_jobs",)], ids=["alone", "preloaded"])
def test_a_module_that_keeps_its_streams_prints_in_every_job(engine, moi, store, preload):
    moi["PRELOAD"] = preload
    for _ in range(2):
        printed = output_of(store, submit_nouser(odd_jobs.print_from_old_streams))
        assert sorted(printed.split()) == ["handler", "kept", "original"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes_are_as_in_any_program(engine, method):
    for _ in range(2):
        assert submit_nouser(work.use_pool, method).value(SOON) == [3, 6, 9, 12, 15]


def test_a_process_of_a_job_can_be_terminated(engine):
    assert submit_nouser(odd_jobs.terminate_process).value(SOON) == -signal.SIGTERM


def test_joblib_works(engine):
    for _ in range(2):
        assert submit_nouser(work.use_joblib).value(SOON) == [0, 1, 2]


def test_the_async_orm_works_also_when_the_database_has_cut_a_connection(engine):
    shared = Options(process="warm")
    for options in (Options(), shared):
        submit_nouser(work.lose_database, options=options).value(SOON)
        assert submit_nouser(work.acount_users, options=options).value(SOON) == 0


def test_no_connection_to_the_database_stays_open(engine):
    name = str(settings.DATABASES["default"]["NAME"])
    processes = [the_engine()]
    for function in (work.count_users, work.acount_users):
        submit_nouser(function, options=Options(process="warm")).value(SOON)
    processes += processes[0].children(recursive=True)
    files = set()
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            files |= {file.path for file in each.open_files()}
    assert name not in files


def test_an_event_loop_is_to_be_had_as_in_a_script(engine):
    script = f"{EVENT_LOOP}\nprint(value)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
    for _ in range(2):
        assert submit_nouser(work.run_source, EVENT_LOOP).value(SOON) == said.strip()


@pytest.mark.parametrize(
    ("function", "args", "result"),
    [
        (odd_jobs.break_json, (), {"a": [1, "b"]}),
        (odd_jobs.break_sockets, (), "sent"),
        (odd_jobs.use_up_descriptors, (False,), "all"),
        (odd_jobs.close_descriptors, (), None),
        (odd_jobs.replace_streams, (), "silent"),
        (odd_jobs.return_twice, (), "twice"),
    ],
)
def test_whatever_a_job_breaks_it_ends_and_the_next_notices_nothing(
    engine, store, function, args, result
):
    job = submit_nouser(function, *args).wait(SOON)
    if result is not None:
        assert (job.state, job.result) == (State.SUCCESS, result)
    after = submit_nouser(work.log_loudly)
    assert output_of(store, after).endswith("WARNING lab: loud\n")
    assert (after.result, after.info.engine) == (True, job.info.engine)


def test_a_job_that_blocks_all_signals_is_cancelled(engine, moi):
    moi["CANCEL_GRACE"] = 0.5
    job = submit_nouser(odd_jobs.block_signals)
    wait_for(lambda: job.refresh().state is State.RUNNING)
    job.cancel()
    assert submit_nouser(work.process_as_found).value(SOON)["blocked"] == []


def test_jobs_draw_other_numbers_when_numpy_is_preloaded(engine, moi):
    moi["PRELOAD"] = ("numpy.random",)
    assert len({submit_nouser(work.draw_number).value(SOON) for _ in range(4)}) == 4
