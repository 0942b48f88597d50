"""Redis and the controller go away and come back: nothing is lost, nothing is half done."""

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from moi_django import Group, ctx_default, submit, submit_nouser
from moi_django import cluster as moi_cluster
from moi_django.exceptions import ClusterUnavailable, StoreUnavailable
from moi_django.local_cluster import connection_file as connection_file_in
from moi_django.local_cluster import local_cluster
from moi_django.site import store as site_store
from tests.processes import wait_for
from tests.records import job_in
from tests.site import work
from tests.test_websocket import connected, hear, say

pytestmark = [pytest.mark.cluster, pytest.mark.django_db(transaction=True)]
SOON = 30


def keys(store):
    return set(store.redis.keys("*"))


def test_a_full_redis_is_one_clear_error_and_no_half_job(own_redis, cluster):
    store = site_store()
    group = Group.of("ada")
    before = keys(store)
    store.redis.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        submit(ctx_default, group, "a job", None, work.triple, 1)
    store.redis.config_set("maxmemory", "0")
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
    job = submit_nouser(work.held_until, str(gate))
    wait_for(lambda: job.refresh().status == "holding")
    own_redis.kill()
    gate.touch()
    with pytest.raises(StoreUnavailable):
        job.refresh()
    own_redis.start()
    assert job.value(SOON) == "released"


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
        store.redis.client_kill_filter(_type="normal", skipme=True)
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
        changed = await sync_to_async(store.change)(
            job.id, lambda info: info.changed(status="meanwhile")
        )
        frames = []
        while not frames or frames[-1] != ("sync", {"group": root.id, "complete": True}):
            frames.append(await hear(socket, within=15))
        assert ("live", True) in frames
        assert ("get", changed.to_dict()) in frames or ("update", changed.to_dict()) in frames


def test_a_controller_that_is_started_anew_is_found_by_itself(moi, store, tmp_path):
    file = str(connection_file_in(tmp_path))
    moi["CONTEXTS"] = {"default": {"connection_file": file}}
    try:
        for number in range(2):
            cluster = local_cluster(1, tmp_path, {"PYTHONPATH": "."})
            cluster.start_and_connect_sync().close()
            try:
                assert submit_nouser(abs, -number).value(SOON) == number
            finally:
                cluster.stop_cluster_sync()
            with pytest.raises(ClusterUnavailable, match="moi up"):
                submit_nouser(abs, -1)
            assert set(Group.of("no-user").totals()) == {"success"}
    finally:
        moi_cluster.close()
