"""A Redis of which sentinels say where it is; and one that has only some of the keys."""

import asyncio
from contextlib import contextmanager

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.core.checks import run_checks

from moi_django.bridge.async_redis import open_client
from moi_django.contrib.sentinel.primary import get_sentinels
from moi_django.exceptions import StoreUnavailable
from moi_django.site_store import get_store
from moi_django.store import Store, StoreConfig
from moi_django.store.connection import require_redis, without_secret
from tests.helpers.failover import Server
from tests.helpers.garbage import warned_of_dropping
from tests.helpers.processes import free_port
from tests.helpers.records import new_group, new_job
from tests.helpers.sentinels import WatchedPair


@pytest.fixture(scope="module")
def watched():
    with WatchedPair() as servers:
        yield servers


async def test_all_that_uses_redis_finds_the_new_primary(watched, moi):
    moi["REDIS_URL"] = watched.url
    store, layer = get_store(), get_channel_layer()
    require_redis(watched.url)
    root = await sync_to_async(store.users.enrol)("ada", new_group)
    channel = await layer.new_channel()
    await layer.group_add("pages", channel)
    await layer.group_send("pages", {"type": "before"})
    assert await layer.receive(channel) == {"type": "before"}

    with store.connection.subscribe("channel") as pubsub:
        assert pubsub.get_message(timeout=30)["type"] == "subscribe"
        await sync_to_async(watched.let_fail_over)()
        job = new_job(root)
        await sync_to_async(_until_written)(store, job)
    assert (await sync_to_async(store.jobs.get)(job.id)).parent == root.id
    async with open_client(watched.url) as client:
        assert await client.exists(store.keys.info(job.id))
        assert (await client.role())[0] == b"master"
    assert await _until_heard(layer, channel) == {"type": "after"}


def _until_written(store, job):
    """Create a job, as often as it takes."""
    for _ in range(20):
        try:
            store.jobs.create(job, payload=b"signed")
            return
        except StoreUnavailable:
            continue
    raise AssertionError("It could not be written.")


async def _until_heard(layer, channel):
    """Send until a message arrives: what is sent while a layer connects anew is lost."""
    receiving = asyncio.create_task(layer.receive(channel))
    async with asyncio.timeout(30):
        while not receiving.done():
            await layer.group_send("pages", {"type": "after"})
            await asyncio.wait([receiving], timeout=0.3)
    return receiving.result()


def test_connections_to_sentinels_are_closed_with_the_last_who_uses_them(watched):
    get_sentinels.cache_clear()
    store = Store(StoreConfig(watched.url))
    store.connection.server_time()
    get_sentinels.cache_clear()
    # What leads to the sentinels is left when a store has closed what is its own.
    pools = [store.connection.redis.connection_pool]
    del store
    assert warned_of_dropping(pools) == []


def test_what_no_sentinel_knows_is_said(watched):
    url = watched.url.replace("/lab/", "/mill/")
    with pytest.raises(StoreUnavailable, match="no sentinel knows a primary 'mill'") as raised:
        require_redis(url)
    assert watched.primary.password not in str(raised.value)
    assert watched.own_password not in without_secret(url)


@pytest.mark.parametrize("url", ["redis+sentinel://host:26379", "redis+sentinel://host,/lab/0"])
def test_sentinels_without_a_name_are_refused(moi, url):
    with pytest.raises(ValueError, match="NAME names a primary"):
        get_sentinels(url)


def test_options_of_a_url_reach_the_primary_and_what_is_for_sentinels_reaches_these():
    url = "rediss+sentinel://user:a%2Fb@one:1,[::1]/lab/3?ssl_ca_certs=/ca&sentinel_password=own"
    found = get_sentinels(url)
    own = [client.connection_pool.connection_kwargs for client in found.client.sentinels]
    assert [(each["host"], each["port"]) for each in own] == [("one", 1), ("::1", 26379)]
    assert {(each["password"], each["ssl_ca_certs"]) for each in own} == {("own", "/ca")}
    for options in (found.connection_options(), found.async_connection_options()):
        assert (options["username"], options["password"], options["db"]) == ("user", "a/b", 3)
        assert options["ssl_ca_certs"] == "/ca" and "sentinel_password" not in options
        assert "Encrypted" in options["connection_class"].__name__


class ClusterNode(Server):
    """A node that has the first half of the slots of a cluster, or all of them."""

    def _configuration(self):
        # The port for other nodes, by default 10,000 above, may be too high, or be used.
        return f"{super()._configuration()}cluster-enabled yes\ncluster-port {free_port()}\n"


@contextmanager
def cluster_node(slots):
    with ClusterNode() as server:
        server.ask("CLUSTER", "ADDSLOTSRANGE", 0, slots - 1)
        yield server


@pytest.mark.parametrize("slots", [8192, 16384])
def test_a_redis_cluster_is_refused_in_words_and_by_a_check(moi, slots):
    with cluster_node(slots) as server:
        store = Store(StoreConfig(server.url))
        with pytest.raises(StoreUnavailable, match="a node of a Redis Cluster"):
            store.users.enrol("ada", new_group)
        store.connection.disconnect()
        moi["REDIS_URL"] = server.url
        found = run_checks(tags=["moi"], include_deployment_checks=True)
        assert "moi.E018" in {message.id for message in found}
