"""Redis and the controller go away and come back: nothing is lost, nothing is half done."""

import json
import signal
from pathlib import Path

import ipyparallel
import psutil
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from moi_django import Group, ctx_default, submit, submit_nouser
from moi_django.bridge import redis_bridge
from moi_django.cluster import connections
from moi_django.contrib.services.local_cluster import connection_file as connection_file_in
from moi_django.contrib.services.local_cluster import make_local_cluster
from moi_django.exceptions import StoreUnavailable
from moi_django.models import State
from moi_django.site_store import get_store as site_store
from tests.helpers.clusters import start_cluster_sync
from tests.helpers.failover import Pair
from tests.helpers.processes import wait_for
from tests.helpers.records import job_in
from tests.helpers.redis_keys import keys
from tests.helpers.websocket import connected, hear, say
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30


@pytest.fixture
def own_redis(own_redis, moi):
    """A Redis of the test's own, which engines leave before it ends."""
    moi["LINGER"] = 0.0
    yield own_redis
    wait_until_left()


@pytest.fixture
def pair(moi):
    """A Redis with a replica that may take its place."""
    with Pair() as servers:
        moi.update(REDIS_URL=servers.url, LINGER=0.0)
        yield servers
        wait_until_left()


def wait_until_left():
    """Wait for engines, which would seek this Redis for ten seconds, and do nothing else."""
    queue = site_store().queue
    wait_for(lambda: not any(map(queue.workers, queue.names())), "the end of all work")


def refusals(store):
    """Return how many commands Redis has refused because it is full."""
    return store.connection.redis.info("errorstats").get("errorstat_OOM", {}).get("count", 0)


def held(gate):
    """Return a job that runs until a file is there."""
    job = submit_nouser(work.held_until, str(gate))
    wait_for(lambda: job.refresh().status == "holding")
    return job


def test_a_full_redis_is_one_clear_error_and_no_half_job(own_redis, cluster):
    store = site_store()
    group = Group.of("ada")
    before = keys(store)
    store.connection.redis.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        submit(ctx_default, group, "a job", None, work.triple, 1)
    store.connection.redis.config_set("maxmemory", "0")
    assert keys(store) == before
    assert submit(ctx_default, group, "a job", None, work.triple, 1).value(SOON) == 3


def test_without_redis_submit_says_so_and_works_once_it_is_back(own_redis, cluster):
    assert submit_nouser(work.triple, 1).value(SOON) == 3
    own_redis.kill()
    with pytest.raises(StoreUnavailable, match="Is it running"):
        submit_nouser(work.triple, 1)
    own_redis.start()
    assert submit_nouser(work.triple, 2).value(SOON) == 6


def test_a_result_computed_while_redis_is_away_is_not_lost(own_redis, cluster, tmp_path):
    gate = tmp_path / "gate"
    job = held(gate)
    own_redis.kill()
    gate.touch()
    with pytest.raises(StoreUnavailable):
        job.refresh()
    own_redis.start()
    assert job.value(SOON) == "released"


def test_a_result_computed_while_redis_is_full_is_not_lost(own_redis, cluster, tmp_path):
    store = site_store()
    gate = tmp_path / "gate"
    job = held(gate)
    store.connection.redis.config_set("maxmemory", "1")
    before = refusals(store)
    gate.touch()
    wait_for(lambda: refusals(store) > before + 2)
    assert job.refresh().state is State.RUNNING
    store.connection.redis.config_set("maxmemory", "0")
    assert job.value(SOON) == "released"


def test_a_job_that_comes_to_an_engine_while_redis_is_full_is_run(own_redis, cluster, tmp_path):
    store = site_store()
    gate = tmp_path / "gate"
    client = ipyparallel.Client(cluster)
    told = {id: tmp_path / f"told-{id}" for id in client.ids}
    busy = [client[id].apply_async(work.held, str(gate), str(told[id])) for id in told]
    wait_for(lambda: all(Path(f"{path}.pid").exists() for path in told.values()))
    job = submit_nouser(work.triple, 1)
    store.connection.redis.config_set("maxmemory", "1")
    before = refusals(store)
    gate.touch()
    assert [each.get(SOON) for each in busy] == ["released"] * 2
    connections.close_connections()
    wait_for(lambda: refusals(store) > before + 1)
    assert not job.refresh().finished
    store.connection.redis.config_set("maxmemory", "0")
    assert job.value(SOON) == 3


def test_an_end_that_cannot_be_written_in_time_is_that_of_a_lost_job(
    short_lease, own_redis, cluster, tmp_path, moi, reconciler, caplog
):
    moi["RESULT_PATIENCE"] = 1.0
    gate = tmp_path / "gate"
    job = held(gate)
    own_redis.kill()
    gate.touch()
    # The engine has given up, and who has called it hears of it.
    wait_for(lambda: "An engine did not do its work" in caplog.text)
    own_redis.start()
    assert job.wait(SOON).state is State.LOST
    assert "RESULT_PATIENCE" in job.result
    wait_for(lambda: f"job {job.id} lost its engine" in reconciler)
    # The engine is there for the next.
    assert submit_nouser(work.triple, 1).value(SOON) == 3


@pytest.mark.parametrize("how", ["crash", "change_places"])
async def test_a_replica_that_takes_the_place_of_redis_is_followed(
    pair, server, cluster, tmp_path, how
):
    user = await sync_to_async(get_user_model().objects.create_user)("ada")
    root = await sync_to_async(Group.of)(user)
    gate = tmp_path / "gate"

    def submitted(*args):
        return submit(ctx_default, user, "a job", None, *args)

    running = await sync_to_async(submitted)(work.held_until, str(gate))
    await sync_to_async(wait_for)(lambda: running.refresh().status == "holding")
    async with connected(server, user) as socket:
        await say(socket, "watch", [root.id])
        await heard_until(socket, lambda verb, info: verb == "sync" and info["complete"])
        await sync_to_async(getattr(pair, how))()
        later = await sync_to_async(submitted)(work.triple, 2)
        gate.touch()
        assert await sync_to_async(running.value)(SOON) == "released"
        assert await sync_to_async(later.value)(SOON) == 6
        ends = {running.id, later.id}
        while ends:
            info = await heard_until(socket, lambda verb, info: "state" in info)
            ends -= {info["id"]} if info["state"] == "success" else set()
    assert await sync_to_async(root.totals)() == {"success": 2}


async def heard_until(socket, condition):
    """Return the first frame's payload that fulfils a condition."""
    while True:
        verb, payload = await hear(socket, within=15)
        if isinstance(payload, dict) and condition(verb, payload):
            return payload


def test_a_status_that_cannot_be_shown_does_not_fail_the_job(own_redis, cluster, tmp_path):
    gate, told = tmp_path / "gate", tmp_path / "told"
    job = submit_nouser(work.tell_at, str(gate), str(told))
    wait_for(lambda: job.refresh().status == "holding")
    own_redis.kill()
    gate.touch()
    wait_for(told.exists)
    own_redis.start()
    assert job.value(SOON) == "told"


def test_killed_connections_are_made_anew(own_redis, cluster):
    store = site_store()
    for number in range(5):
        store.connection.redis.client_kill_filter(_type="normal", skipme=True)
        assert submit_nouser(work.triple, number).value(SOON) == number * 3


async def test_a_page_says_that_redis_is_away_and_then_shows_what_it_holds(own_redis, server):
    user = await sync_to_async(get_user_model().objects.create_user)("ada")
    root = await sync_to_async(Group.of)(user)
    store = site_store()
    job = await sync_to_async(job_in)(store, root)
    async with connected(server, user) as socket:
        await say(socket, "watch", [root.id])
        assert [(await hear(socket))[0] for _ in range(4)] == ["sync", "get", "get", "sync"]
        await sync_to_async(own_redis.kill)()
        assert await hear(socket) == ("live", False)
        await sync_to_async(own_redis.start)()
        changed = await sync_to_async(store.jobs.change)(
            job.id, lambda info: info.changed(status="meanwhile")
        )
        whole, shown = ("sync", {"group": root.id, "complete": True}), json.loads(changed.to_wire())
        frames = []
        # The change may come after the whole, which is then of before it.
        while whole not in frames or shown not in [payload for _, payload in frames]:
            frames.append(await hear(socket, within=15))
        assert ("live", True) in frames


async def test_a_page_says_that_redis_is_frozen_and_then_shows_what_it_holds(
    own_redis, server, monkeypatch
):
    monkeypatch.setattr(redis_bridge, "HEARTBEAT", 0.2)
    monkeypatch.setattr(redis_bridge, "SILENCE", 3.0)
    user = await sync_to_async(get_user_model().objects.create_user)("ada")
    root = await sync_to_async(Group.of)(user)
    redis = own_redis.process
    async with connected(server, user) as socket:
        await say(socket, "watch", [root.id])
        await heard_until(socket, lambda verb, info: verb == "sync" and info["complete"])
        redis.send_signal(signal.SIGSTOP)
        while await hear(socket, within=15) != ("live", False):
            pass
        redis.send_signal(signal.SIGCONT)
        while await hear(socket, within=15) != ("live", True):
            pass
        await heard_until(socket, lambda verb, info: verb == "sync" and info["complete"])
        job = await sync_to_async(job_in)(site_store(), root)
        await heard_until(socket, lambda verb, info: info.get("id") == job.id)


@pytest.mark.parametrize("arguments", [[], ["--reuse"]], ids=["new address", "same address"])
def test_submit_finds_the_successor_of_a_controller_that_was_killed(
    own_cluster, reconciler, arguments
):
    first = own_cluster(1, *arguments)
    assert submit_nouser(work.triple, 1).value(SOON) == 3
    hub = psutil.Process(first.controller.process.pid)
    for process in [*hub.children(recursive=True), hub]:
        process.kill()
    # Nobody can know yet that there is no controller: this one waits for the next.
    between = submit_nouser(work.triple, 2)
    own_cluster(1, *arguments)
    assert submit_nouser(work.triple, 3).value(SOON) == 9
    assert between.value(SOON) == 6


def test_a_controller_that_is_started_anew_is_found_by_itself(moi, store, tmp_path):
    file = str(connection_file_in(tmp_path))
    moi["CONTEXTS"] = {"default": {"connection_file": file}}
    try:
        for number in range(2):
            cluster = make_local_cluster(1, tmp_path, {"PYTHONPATH": "."})
            start_cluster_sync(cluster).close()
            try:
                assert submit_nouser(abs, -number).value(SOON) == number
            finally:
                cluster.stop_cluster_sync()
            waiting = submit_nouser(abs, -1)
            assert waiting.refresh().state is State.QUEUED
            assert waiting.cancel()
    finally:
        connections.close_connections()
