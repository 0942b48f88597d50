"""An engine at a queue runs what waits there, without a cluster round it."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType

import pytest

from moi_django.cluster.payloads import payload_keys, sign_payload
from moi_django.cluster.reconciler import Reconciler
from moi_django.contrib.attachments.site_storage import get_attachment_storage
from moi_django.contrib.tracing.submit_spans import ATTEMPT_SPAN
from moi_django.engine import heartbeat as heartbeat_module
from moi_django.engine.attempt_end import AttemptEnd, InterruptReason
from moi_django.engine.attempt_runner import AttemptRunner, Resources
from moi_django.engine.heartbeat import Heartbeat
from moi_django.engine.payloads import Payload
from moi_django.engine.pickling import pickle_call
from moi_django.engine.process_pool import ProcessPool
from moi_django.engine.work_spec import Limits, WorkSpec
from moi_django.engine.worker import _QueueWorker
from moi_django.exceptions import NoProcess, StoreUnavailable
from moi_django.models import State
from moi_django.options import Options
from moi_django.site_store import engine_store_config, get_store
from moi_django.store.queue import Worker
from tests.helpers import resuming_jobs
from tests.helpers.job_processes import descriptors_left
from tests.helpers.processes import wait_for
from tests.helpers.queues import QUEUE, claim, job_for
from tests.helpers.records import new_group

ONE = Worker(QUEUE, "one")


@pytest.fixture(scope="module")
def pool():
    """The processes of an engine without Django."""
    settings = os.environ.pop("DJANGO_SETTINGS_MODULE")
    try:
        pool = ProcessPool(())
        pool.check()
    finally:
        os.environ["DJANGO_SETTINGS_MODULE"] = settings
    yield pool
    pool.close()


@pytest.fixture
def root(store):
    return store.users.enrol("ada", new_group)


@pytest.fixture
def heartbeat(store, monkeypatch):
    monkeypatch.setattr(heartbeat_module, "IDLE_TIMEOUT", 0.0)
    return Heartbeat(store, "one")


@pytest.fixture
def spec(moi):
    return WorkSpec(
        store=engine_store_config(),
        contexts=("lab",),
        keys=payload_keys(),
        limits=Limits(result=1000, status=100, log=1000, display=1000),
        attachment_storage=get_attachment_storage(),
        grace=1,
        patience=5,
        linger=0.01,
        turn=60,
        preload=(),
        memory_limit=None,
    )


@pytest.fixture
def work(store, heartbeat, pool, spec):
    """Let an engine work until it leaves its queue; it tells whether there is more."""
    return lambda **changes: _QueueWorker(
        Resources(replace(spec, **changes), ONE, store, heartbeat, pool)
    ).run()


def submit(store, root, function, *args, around=MappingProxyType({}), **options):
    given = Options(**options)
    job = job_for(root, attempts=given.attempts)
    payload = Payload(pickle_call((function, args, {}), 1000), given, "lab", around=dict(around))
    store.jobs.create(job, sign_payload(job, payload))
    return job


def test_what_code_is_here_is_said_last_whoever_says_it(store, heartbeat):
    with ThreadPoolExecutor(3) as pool:
        for number in range(100):
            renewals = [pool.submit(heartbeat.report) for _ in range(3)]
            heartbeat.report_code(QUEUE, str(number))
            for each in renewals:
                each.result()
            assert store.engines.reports()["one"].metrics.code == str(number)


def test_an_engine_that_had_no_room_for_a_thread_looks_after_its_jobs_the_next_time(
    store, heartbeat
):
    threading.stack_size(2**46)
    try:
        with pytest.raises(RuntimeError, match="can't start new thread"), heartbeat.at_queue(ONE):
            pass
    finally:
        threading.stack_size(0)
    with heartbeat.at_queue(ONE):
        wait_for(lambda: store.engines.reports())


def test_who_is_cancelled_before_the_engine_knows_what_it_has_claimed_is_interrupted(
    store, root, heartbeat
):
    job, reasons = submit(store, root, pow, 2, 3), []
    with heartbeat.at_queue(ONE):
        channel = store.keys.engine("one")
        wait_for(lambda: store.connection.redis.pubsub_numsub(channel)[0][1])
        info = claim(store).info
        store.jobs.cancel(job.id)
        wait_for(lambda: heartbeat._asked_at > 0)
        lease = heartbeat.watch_over(info)
        lease.interrupt_with(reasons.append)
        assert reasons == [InterruptReason.UNWANTED]
        lease.close()


def test_all_that_waits_is_run_in_order(store, root, work):
    jobs = [submit(store, root, pow, 2, number) for number in range(5)]
    assert work() is False
    ends = store.jobs.get_many([job.id for job in jobs])
    assert [(end.state, end.result) for end in ends] == [
        (State.SUCCESS, 2**number) for number in range(5)
    ]
    starts = [end.date_start for end in ends]
    assert starts == sorted(starts)
    assert all(end.cpu_seconds >= 0 and end.peak_memory > 1e6 for end in ends)
    assert store.queue.workers(QUEUE) == store.queue.running() == {}


def test_a_job_in_the_queue_of_another_context_is_refused(store, root, work):
    job = submit(store, root, pow, 2, 3)
    work(contexts=("other",))
    end = store.jobs.get(job.id)
    assert end.state is State.FAILED
    assert "was submitted to the context 'lab', and was found in the queue of another" in end.result


def test_an_engine_leaves_after_its_turn_and_says_that_there_is_more(store, root, work):
    first, second = (submit(store, root, pow, 2, number) for number in range(2))
    assert work(turn=0) is True
    assert store.jobs.get(first.id).state is State.SUCCESS
    assert store.jobs.get(second.id) == second
    assert store.queue.workers(QUEUE) == {}


def test_a_job_that_fails_is_run_again(store, root, work):
    job = submit(store, root, int, "x", retries=2, backoff=0)
    assert work() is False
    info = store.jobs.get(job.id)
    assert (info.state, info.attempt, len(info.runs)) == (State.FAILED, 3, 2)
    assert info.runs[0].error == "ValueError: invalid literal for int() with base 10: 'x'"
    assert info.runs[0].peak_memory > 1e6


def test_each_attempt_is_in_the_trace_in_which_the_job_was_submitted(store, root, work, tmp_path):
    def note_trace(path):
        from opentelemetry import trace

        with open(path, "a") as file:
            print(f"{trace.get_current_span().get_span_context().trace_id:032x}", file=file)
        raise ValueError

    seen = tmp_path / "seen"
    given = {"carrier": {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}, "function": "work"}
    submit(store, root, note_trace, str(seen), around={ATTEMPT_SPAN: given}, retries=1, backoff=0)
    assert work() is False
    assert seen.read_text().split() == ["ab" * 16] * 2


def test_what_the_site_has_not_signed_is_not_run(store, root, work):
    first, second = submit(store, root, os.getpid), submit(store, root, pow, 2, 3)
    foreign = store.jobs.payload(second.id)
    store.connection.redis.set(store.keys.payload(first.id), foreign)
    assert work() is False
    end = store.jobs.get(first.id)
    assert end.state is State.FAILED and "was not signed by this site" in end.result
    assert store.jobs.get(second.id).result == 8


def test_after_a_job_that_was_cancelled_the_next_is_claimed_at_once(
    store, root, heartbeat, pool, spec
):
    job, second = submit(store, root, pow, 2, 3), submit(store, root, pow, 2, 3)
    attempt = AttemptRunner(claim(store), Resources(spec, ONE, store, heartbeat, pool))
    cancelled, _ = store.jobs.cancel(job.id)
    attempt.write_status("half way")  # from here on it knows
    claimed = attempt.write_end_and_claim(AttemptEnd(State.SUCCESS, 8), ONE)
    attempt.close()
    assert claimed.info.id == second.id
    assert store.jobs.get(job.id) == cancelled
    assert store.queue.workers(QUEUE) == {"one": 0}


def test_a_file_that_was_kept_when_its_job_was_removed_is_forgotten(
    store, root, heartbeat, pool, spec
):
    job = submit(store, root, pow, 2, 3)
    attempt = AttemptRunner(claim(store), Resources(spec, ONE, store, heartbeat, pool))
    store.tree.remove(job.id)
    attempt.attach("late.txt", b"content")
    attempt.close()
    assert not store.connection.redis.exists(store.keys.files(job.id))
    assert store.artifacts.gone_jobs_with_files() == [job.id]  # so the file is deleted, too
    assert spec.attachment_storage.delete_orphaned(store) == 1


def test_an_engine_that_is_called_in_vain_leaves_at_once(store, root, work):
    assert work(linger=60) is False
    assert store.queue.workers(QUEUE) == {}


def test_an_engine_that_lingers_takes_what_comes(store, root, work, monkeypatch):
    monkeypatch.setattr("moi_django.engine.worker.leaving", leaving := threading.Event())
    submit(store, root, pow, 2, 3)
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work, linger=60)
        wait_for(lambda: store.connection.redis.exists(store.keys.lingering(QUEUE)))
        job = submit(store, root, pow, 2, 3)
        wait_for(lambda: store.jobs.get(job.id).finished)  # long before it has lingered enough
        leaving.set()
        store.connection.redis.rpush(store.keys.wake(QUEUE, "one"), "wake")
        assert working.result() is False


def test_a_job_whose_end_could_not_be_written_is_lost(own_redis, moi, pool, spec, monkeypatch):
    moi["LEASE"] = 0.3
    monkeypatch.setattr(heartbeat_module, "IDLE_TIMEOUT", 0.0)
    store = get_store()
    job = submit(store, store.users.enrol("ada", new_group), os.kill, own_redis.process.pid, 9)
    spec = replace(spec, store=store.config, patience=0)
    worker = _QueueWorker(Resources(spec, ONE, store, Heartbeat(store, "one"), pool))
    with pytest.raises(StoreUnavailable):
        worker.run()
    own_redis.wait()
    own_redis.start()
    reconciler = Reconciler()

    def is_lost():
        reconciler.reconcile()
        return store.jobs.get(job.id).state is State.LOST

    wait_for(is_lost)
    assert store.queue.running() == {}


def test_an_engine_that_can_start_no_process_puts_its_job_back(
    store, root, heartbeat, spec, monkeypatch
):
    job = submit(store, root, pow, 2, 3)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(NoProcess):
        _QueueWorker(Resources(spec, ONE, store, heartbeat, ProcessPool(()))).run()
    info = store.jobs.get(job.id)
    assert (info.state, info.attempt, info.engine) == (State.QUEUED, 1, None)
    assert (store.queue.waiting_count("lab"), store.queue.running()) == (1, {})
    assert claim(store).info.state is State.RUNNING


def test_a_job_that_its_engine_fails_to_run_has_an_end(store, root, work):
    submit(store, root, pow, 2, 3)
    assert work() is False  # a process is ready for the next
    job = submit(store, root, pow, 2, 3)
    with descriptors_left(1):
        assert work() is False
    end = store.jobs.get(job.id)
    assert end.state is State.LOST
    assert end.result.startswith("The engine could not run this job: OSError(24, ")


def test_nothing_is_left_of_a_job_that_prints_while_it_is_removed(
    store, root, heartbeat, pool, spec
):
    job = submit(store, root, pow, 2, 3)
    attempt = AttemptRunner(claim(store), Resources(spec, ONE, store, heartbeat, pool))
    store.tree.remove(job.id)
    attempt.write_output("stdout", "late")
    attempt.write_end(attempt.run())
    attempt.close()
    assert store.logs.open(job.id).read_last(1) == []


def test_a_checkpoint_is_written_when_redis_is_back(own_redis, store, heartbeat, pool, spec):
    root = store.users.enrol("ada", new_group)
    job = submit(store, root, pow, 2, 3)
    attempt = AttemptRunner(claim(store), Resources(spec, ONE, store, heartbeat, pool))
    own_redis.kill()
    attempt.write_checkpoint("1")
    attempt.write_checkpoint("2")
    own_redis.start()
    # With no more words, and before the end.
    wait_for(lambda: store.connection.redis.get(store.keys.checkpoint(job.id)) == b"2")
    attempt.close()


def test_an_attempt_ends_when_its_checkpoint_is_written(store, root, work):
    job = submit(store, root, resuming_jobs.keep_and_die, {"at": 1}, retries=1, backoff=60)
    work()
    assert store.jobs.get(job.id).attempt == 2
    assert store.connection.redis.get(store.keys.checkpoint(job.id)) == b'{"at": 1}'
