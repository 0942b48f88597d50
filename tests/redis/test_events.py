"""What becomes of jobs is told: each thing at least once, in order, to each who wants to hear."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from moi_django import submit
from moi_django.bridge.redis_bridge import Bridge
from moi_django.conf import conf
from moi_django.contrib.events import reader, register, registry
from moi_django.contrib.events.reader import ConsumerReader, deliver_all, running_readers
from moi_django.contrib.events.stream import EventStream, open_connection
from moi_django.models import State
from moi_django.site_store import get_store
from moi_django.store import Store, StoreConfig, scripts
from tests.helpers.events import Recorder, entries
from tests.helpers.failover import Pair
from tests.helpers.processes import environment, threads_of, wait_for
from tests.helpers.queues import claim, job_for, queued_job
from tests.helpers.records import finish, mark_retried, new_group
from tests.helpers.redis_keys import everything

pytestmark = pytest.mark.django_db


@pytest.fixture
def consumers(monkeypatch):
    """The consumers of this process, none at first."""
    found = {}
    monkeypatch.setattr(registry, "_consumers", found)
    monkeypatch.setattr(conf, "hears_events", False)
    return found


@pytest.fixture
def recorder(moi, consumers):
    recorder = Recorder()
    register("recorder", recorder)
    return recorder


@pytest.fixture
def heard(recorder):
    """The store, once somebody hears of events."""
    return get_store()


@pytest.fixture
def root(heard):
    return heard.users.enrol("ada", new_group)


def told_of(recorder, id):
    deliver_all()
    return recorder.told(id)


BEGUN = [("submitted", "queued"), ("started", "running")]


# What is told


def test_a_job_that_succeeds(heard, root, recorder):
    job = queued_job(heard, root)
    claimed = claim(heard)
    finish(heard, job, result={"list": [], "big": 2**60})
    assert told_of(recorder, job.id) == [*BEGUN, ("finished", "success")]
    [submitted, started, finished] = recorder.events
    assert submitted.info == job
    assert started.info == claimed.info
    assert finished.info == heard.jobs.get(job.id)
    assert finished.info.result == {"list": [], "big": 2**60}
    assert submitted.time <= started.time <= finished.time
    assert submitted.id < started.id < finished.id
    assert abs(submitted.time.timestamp() - heard.connection.server_time()) < 60


@pytest.mark.parametrize("state", [State.FAILED, State.LOST, State.CANCELLED])
def test_every_other_end_of_a_job_that_runs(heard, root, recorder, state):
    job = queued_job(heard, root)
    claim(heard)
    finish(heard, job, state, "Traceback")
    assert told_of(recorder, job.id) == [*BEGUN, ("finished", state)]


def test_an_end_before_its_start(heard, root, recorder):
    job = queued_job(heard, root)
    heard.jobs.cancel(job.id)
    assert told_of(recorder, job.id) == [("submitted", "queued"), ("finished", "cancelled")]


def test_one_that_is_skipped_because_of_another(heard, root, recorder):
    first = queued_job(heard, root)
    second = queued_job(heard, root, after=(first.id,))
    claim(heard)
    finish(heard, first, State.FAILED, "no")
    assert told_of(recorder, second.id) == [("submitted", "queued"), ("finished", "cancelled")]


def test_one_that_fails_at_submit(heard, recorder, transactional_db):
    job = submit("default", "ada", "no function", None, print, threading.Lock())
    assert told_of(recorder, job.id) == [("submitted", "failed"), ("finished", "failed")]


@pytest.mark.parametrize("is_running", [True, False])
def test_one_that_is_removed_before_its_end(heard, root, recorder, is_running):
    job = queued_job(heard, root)
    if is_running:
        claim(heard)
    heard.tree.remove(job.id)
    told = told_of(recorder, job.id)
    assert told == [*BEGUN[: 1 + is_running], ("finished", "cancelled")]
    assert recorder.events[-1].info.date_end


def test_one_that_is_removed_after_its_end_ends_once(heard, root, recorder):
    job = queued_job(heard, root)
    heard.jobs.cancel(job.id)
    heard.tree.remove(job.id)
    assert told_of(recorder, job.id) == [("submitted", "queued"), ("finished", "cancelled")]


def test_further_attempts(heard, root, recorder):
    job = queued_job(heard, root, attempts=2)
    claim(heard)
    heard.jobs.change(job.id, lambda info: info.requeued(State.FAILED, "no"))
    claim(heard)
    finish(heard, job)
    assert told_of(recorder, job.id) == [
        *BEGUN,
        ("changed", "queued"),
        ("started", "running"),
        ("finished", "success"),
    ]
    assert [event.info.attempt for event in recorder.events] == [1, 1, 2, 2, 2]


def test_a_status_text_and_no_progress(heard, root, recorder):
    job = queued_job(heard, root)
    claim(heard)
    for number in range(3):
        heard.jobs.change(job.id, lambda info, n=number: info.changed(progress=n / 10))
    heard.jobs.change(job.id, lambda info: info.changed(status="Half way", progress=0.5))
    heard.jobs.change(job.id, lambda info: info.changed(attached=1))
    assert told_of(recorder, job.id) == [*BEGUN, ("changed", "running")]
    assert recorder.events[-1].info.status == "Half way"


def test_a_retry_of_what_has_ended(heard, root, recorder):
    job = queued_job(heard, root)
    finish(heard, job, State.FAILED)
    mark_retried(heard, job.id, "another")
    assert told_of(recorder, job.id)[1:] == [("finished", "failed"), ("changed", "failed")]
    assert recorder.events[-1].info.retried == "another"


def test_nothing_of_groups(heard, root, recorder):
    heard.jobs.create(new_group("group", root))
    heard.tree.remove("group")
    assert told_of(recorder, None) == []


def test_a_long_result_is_left_out(heard, root, recorder):
    job = queued_job(heard, root, attempts=2)
    claim(heard)
    trace = 'File "x"\\n' * 5000
    heard.jobs.change(job.id, lambda info: info.requeued(State.FAILED, trace))
    claim(heard)
    finish(heard, job, result=["x" * 30_000])
    told_of(recorder, job.id)
    results = [(event.info.result, event.result_omitted) for event in recorder.events]
    assert results == [(None, False), (None, False), (None, True), (None, True), (None, True)]
    assert recorder.events[3].info.runs == heard.jobs.get(job.id).runs
    assert heard.jobs.get(job.id).result == ["x" * 30_000]


# What it costs who does not listen


def test_nothing_is_written_where_nobody_listens(consumers, store):
    root = store.users.enrol("ada", new_group)
    job = queued_job(store, root)
    claim(store)
    finish(store, job)
    assert not {key for key in everything(store) if key.startswith("events")}


def test_a_key_of_another_program_does_no_harm(heard, root):
    heard.connection.redis.set(heard.keys.events, "mine")
    job = queued_job(heard, root)
    claim(heard)
    assert finish(heard, job).finished
    assert heard.connection.redis.get(heard.keys.events) == b"mine"


def test_an_engine_that_knows_nothing_of_it_tells_where_somebody_listens(
    heard, root, recorder, moi
):
    job = queued_job(heard, root)
    engine = Store(StoreConfig(heard.config.url, moi["KEY_PREFIX"]))
    claim(engine)
    finish(engine, job)
    assert told_of(recorder, job.id) == [*BEGUN, ("finished", "success")]


# Each consumer by itself


def test_what_all_have_dealt_with_is_dropped(heard, root, recorder):
    other = Recorder()
    register("other", other)
    deliver_all()
    other.error = OSError("away")
    job = queued_job(heard, root)
    deliver_all()
    assert recorder.told(job.id) == [("submitted", "queued")]
    assert len(entries(heard)) == 1
    other.error = None
    assert deliver_all() == 1
    assert other.told(job.id) == [("submitted", "queued")]
    assert entries(heard) == []
    queued_job(heard, root)
    assert deliver_all() == 2


def test_one_that_fails_holds_up_neither_the_others_nor_loses_anything(
    heard, root, recorder, monkeypatch, caplog
):
    monkeypatch.setattr(reader, "FIRST_PAUSE", 0.01)
    failing = Recorder()
    failing.error = OSError("the database is away")
    register("failing", failing)
    with running_readers():
        jobs = [queued_job(heard, root) for _ in range(5)]
        wait_for(lambda: len(recorder.events) == 5)
        wait_for(lambda: failing.calls > 2)
        assert failing.events == []
        failing.error = None
        wait_for(lambda: len(failing.events) == 5)
    ids = [job.id for job in jobs]
    assert [event.info.id for event in failing.events] == ids
    assert [event.info.id for event in recorder.events] == ids
    assert "the database is away" in caplog.text


def test_what_comes_before_an_event_that_cannot_be_dealt_with_is_dealt_with(
    heard, root, consumers, caplog
):
    done = []

    def handle(events):
        for event in events:
            if event.info.name == "poison":
                raise ValueError("no")
        done.extend(event.info.name for event in events)

    register("recorder", handle)
    for name in ("one", "two", "poison", "three"):
        queued_job(heard, root, name)
    one = ConsumerReader(registry.consumers()[0], open_connection(heard.config), "me")
    assert one.hold()
    for _ in range(6):
        one.deliver()
    assert done == ["one", "two"]
    one.release()


def test_a_consumer_that_comes_later_hears_of_what_others_have_yet_to(heard, root, recorder):
    job = queued_job(heard, root)
    late = Recorder()
    register("late", late)
    deliver_all()
    assert late.told() == [("submitted", "queued")]
    assert late.events[0].info.id == job.id


def test_the_place_of_a_consumer_that_is_no_more_is_dropped(heard, root, recorder, monkeypatch):
    gone = EventStream(heard.connection, "gone")
    gone.begin()
    queued_job(heard, root)
    deliver_all()
    stream = EventStream(heard.connection, "recorder")
    assert stream.drop_abandoned({"recorder"}) == []
    assert len(entries(heard)) == 1
    monkeypatch.setattr("moi_django.contrib.events.stream.ABANDONED", -1)
    assert stream.drop_abandoned({"recorder"}) == ["gone"]
    queued_job(heard, root)
    deliver_all()
    assert entries(heard) == []


@pytest.mark.parametrize("name", ["", "Two words", "a:b", "9", "x" * 51])
def test_a_name_that_makes_no_sense_is_refused(consumers, name):
    with pytest.raises(ValueError, match="cannot consume"):
        register(name, print)


# Bounds


def test_the_stream_is_bounded_and_the_oldest_go(heard, root, recorder, monkeypatch, caplog):
    # Redis drops whole nodes of its stream, of a hundred entries.
    monkeypatch.setitem(scripts.CONSTANTS, "MAX_EVENTS", 200)
    monkeypatch.setattr(reader, "MAX_EVENTS", 200)
    scripts.load_script.cache_clear()
    store = Store(StoreConfig(heard.config.url, heard.config.prefix, begins_events=True))
    try:
        store.jobs.create_many([(job_for(root, str(n)), b"") for n in range(1000)])
    finally:
        scripts.load_script.cache_clear()
    assert 200 <= len(entries(heard)) <= 300
    deliver_all()
    names = [event.info.name for event in recorder.events]
    assert names == [str(n) for n in range(1000 - len(names), 1000)]
    assert 200 <= len(names) <= 300
    assert entries(heard) == []


def test_what_was_read_and_dropped_before_it_was_done_is_skipped(heard, root, recorder, caplog):
    recorder.error = OSError("away")
    queued_job(heard, root)
    deliver_all()
    heard.connection.redis.xtrim(heard.keys.events, maxlen=0, approximate=False)
    recorder.error = None
    job = queued_job(heard, root)
    assert told_of(recorder, None) == [("submitted", "queued")]
    assert recorder.events[0].info.id == job.id
    assert "Skipped event" in caplog.text


def test_what_is_none_of_ours_is_skipped(heard, root, recorder, caplog):
    stream = heard.connection.redis
    stream.xadd(heard.keys.events, {"kind": "finished", "info": "{"})
    stream.xadd(heard.keys.events, {"some": "thing"})
    job = queued_job(heard, root)
    stream.xadd(heard.keys.events, {"kind": "odd", "info": job.to_json()})
    assert told_of(recorder, None) == [("submitted", "queued")]
    assert caplog.text.count("Skipped event") == 3


def test_the_stream_expires_when_nobody_reads_it(heard, root, recorder):
    queued_job(heard, root)
    assert 0 < heard.connection.redis.ttl(heard.keys.events) <= heard.config.expire
    heard.connection.redis.persist(heard.keys.events)
    deliver_all()
    assert 0 < heard.connection.redis.ttl(heard.keys.events) <= heard.config.expire


# Readers


def test_one_reader_at_a_time(heard, root, recorder):
    connection = open_connection(heard.config)
    one, two = (ConsumerReader(registry.consumers()[0], connection, name) for name in "ab")
    assert [one.hold(), two.hold(), one.hold()] == [True, False, True]
    queued_job(heard, root)
    assert [two.deliver(), one.deliver()] == [0, 1]
    two.release()
    assert not two.hold()
    one.release()
    assert two.hold()
    two.release()


def test_who_has_lost_the_lease_without_knowing_reads_nothing(heard, root, recorder):
    connection = open_connection(heard.config)
    one, two = (ConsumerReader(registry.consumers()[0], connection, name) for name in "ab")
    assert one.hold()
    queued_job(heard, root, "first")
    assert one.deliver() == 1
    # As after a failover, or by a clock of Redis that jumps.
    heard.connection.redis.delete(f"{heard.keys.prefix}events-reader:recorder")
    assert two.hold()
    queued_job(heard, root, "second")
    assert one.is_holding
    assert one.deliver() == 0
    assert not one.is_holding
    assert two.deliver() == 1
    assert [event.info.name for event in recorder.events] == ["first", "second"]
    two.release()


def test_a_reader_that_waits_is_idle_while_others_have_yet_to_read(heard, root, recorder):
    EventStream(heard.connection, "late").begin()
    queued_job(heard, root)
    one = ConsumerReader(registry.consumers()[0], open_connection(heard.config), "me")
    assert one.hold()
    assert one.deliver() == 1
    successor = ConsumerReader(registry.consumers()[0], open_connection(heard.config), "me")
    assert successor.hold()
    for waiting in (one, successor):
        begun = time.monotonic()
        assert waiting.deliver(0.2) == 0
        assert time.monotonic() - begun >= 0.2
    one.release()


def test_many_readers_at_once_tell_all_in_order_and_once(heard, root, recorder):
    with running_readers(), running_readers(), running_readers():

        def live(number):
            job = queued_job(heard, root, str(number))
            heard.jobs.change(job.id, lambda info: info.changed(status="almost"))
            finish(heard, job)
            return job.id

        with ThreadPoolExecutor(4) as pool:
            ids = list(pool.map(live, range(50)))
        wait_for(lambda: len(recorder.events) == 150)
    kinds = [("submitted", "queued"), ("changed", "queued"), ("finished", "success")]
    assert all(recorder.told(id) == kinds for id in ids)


def test_a_reader_that_is_killed_leaves_the_rest_to_the_next(
    heard, root, recorder, site_env, tmp_path, monkeypatch
):
    jobs = [queued_job(heard, root) for _ in range(3)]
    noted = tmp_path / "noted"
    # A lease of that process which is over soon.
    ran = subprocess.run(
        [sys.executable, "-m", "tests.helpers.events", str(noted)],
        env=environment(**site_env, MOI_TEST_DATABASE=":memory:"),
        timeout=30,
    )
    assert ran.returncode == -9
    assert noted.read_text() == jobs[0].id
    assert deliver_all() == 0
    heard.connection.redis.delete(f"{heard.keys.prefix}events-reader:recorder")
    assert deliver_all() == 3
    assert [event.info.id for event in recorder.events] == [job.id for job in jobs]


def test_a_reader_that_was_frozen_leaves_what_it_has_read(heard, root, recorder):
    connection = open_connection(heard.config)
    frozen = ConsumerReader(registry.consumers()[0], connection, "frozen")
    assert frozen.hold()
    queued_job(heard, root)
    frozen._held_until = 0.0
    assert frozen.deliver() == 0
    assert recorder.events == []
    frozen.release()
    assert deliver_all() == 1


def test_a_failover_and_a_new_redis_end_no_reader(moi, consumers, monkeypatch):
    monkeypatch.setattr(reader, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(reader, "LOOK_INTERVAL", 0.1)
    recorder = Recorder()
    register("recorder", recorder)
    with Pair() as pair:
        moi["REDIS_URL"] = pair.url
        root = get_store().users.enrol("ada", new_group)
        with running_readers():
            for number, act in enumerate([pair.change_places, pair.crash], 1):
                act()
                queued_job(get_store(), root, f"after {number}")
                wait_for(lambda name=f"after {number}": names_told(recorder)[-1:] == [name])
            get_store().connection.redis.flushall()
            root = get_store().users.enrol("ada", new_group)
            queued_job(get_store(), root, "anew")
            wait_for(lambda: names_told(recorder)[-1:] == ["anew"])
    assert names_told(recorder) == ["after 1", "after 2", "anew"]


def names_told(recorder):
    """Return which jobs were told of, each once: what a failover forgets is told again."""
    return list(dict.fromkeys(event.info.name for event in recorder.events))


def test_a_server_process_reads_as_long_as_it_has_pages(heard, root, recorder):
    import asyncio

    async def serve():
        def listener(_):
            pass

        bridge = Bridge()
        bridge.add_consumer(listener)
        await asyncio.to_thread(queued_job, heard, root)
        await asyncio.to_thread(wait_for, lambda: recorder.events)
        await bridge.remove_consumer(listener)

    asyncio.run(serve())
    wait_for(lambda: not threads_of("moi-events"))
    assert recorder.told() == [("submitted", "queued")]


def test_no_thread_runs_where_nobody_listens(consumers, moi):
    reader.start_readers()()
    with running_readers():
        assert not threads_of("moi-events")


@pytest.mark.parametrize("batch", [0, 1_001])
def test_as_many_at_once_as_redis_can_take_note_of(consumers, batch):
    with pytest.raises(ValueError, match=f"{batch} at once"):
        register("recorder", print, batch=batch)
