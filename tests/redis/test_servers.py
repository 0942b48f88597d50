"""Two server processes whose viewers watch the same group."""

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from moi_django import Group
from tests.helpers.processes import free_port, site_process
from tests.helpers.records import finish, job_in
from tests.helpers.websocket import connected, hear, hear_but_counts, say

pytestmark = pytest.mark.django_db(transaction=True)

JOBS, CHANGES = 40, 5


@pytest.fixture
def ports(site_env, transactional_db):
    one, two = free_port(), free_port()
    with site_process(one, **site_env), site_process(two, **site_env):
        yield one, two


async def watching(socket, group):
    """Begin to watch and return the ids of the snapshot."""
    await say(socket, "watch", [group])
    while (await hear(socket)) != ("sync", {"group": group, "complete": False}):
        pass
    ids = []
    while (frame := await hear(socket))[0] == "get":
        ids.append(frame[1]["id"])
    assert frame == ("sync", {"group": group, "complete": True})
    return ids


async def until_finished(socket, count):
    """Return all frames up to the one after which so many jobs are finished."""
    frames, finished = [], set()
    while len(finished) < count:
        verb, info = await hear(socket)
        if info["type"] == "group":
            continue  # whose numbers change with its jobs
        frames.append((verb, info))
        if info["state"] == "success":
            finished.add(info["id"])
    return frames


def work(store, root):
    """Let jobs come, change and end."""
    jobs = [job_in(store, root, f"job {number}") for number in range(JOBS)]
    for change in range(CHANGES):
        for job in jobs:
            store.jobs.change(job.id, lambda info, n=change: info.changed(status=f"step {n}"))
    for job in jobs:
        finish(store, job)
    return {job.id for job in jobs}


async def test_every_viewer_hears_each_change_once_and_in_order(ports, store):
    user = await sync_to_async(get_user_model().objects.create_user)("ada")
    root = await sync_to_async(Group.of)(user)
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connected(f"127.0.0.1:{port}", user))
            for port in (*ports, *ports)
        ]
        for socket in sockets:
            assert await watching(socket, root.id) == [root.id]
        ids, *heard = await asyncio.gather(
            sync_to_async(work)(store, root),
            *(until_finished(socket, JOBS) for socket in sockets),
        )
        for frames in heard:
            added = Counter(info["id"] for verb, info in frames if verb == "add")
            assert added == Counter(ids)
            versions = {}
            for verb, info in frames:
                assert verb in ("add", "update")
                # No change twice, none after a newer one.
                assert info["version"] > versions.get(info["id"], 0)
                versions[info["id"]] = info["version"]
            assert set(versions.values()) == {CHANGES + 2}
        for socket in sockets:
            assert set(await watching(socket, root.id)) == ids | {root.id}


async def test_one_server_that_ends_leaves_the_other_alone(site_env, store):
    user = await sync_to_async(get_user_model().objects.create_user)("ada")
    root = await sync_to_async(Group.of)(user)
    one, two = free_port(), free_port()
    with site_process(one, **site_env):
        with site_process(two, **site_env):
            async with connected(f"127.0.0.1:{two}", user) as socket:
                await watching(socket, root.id)
        async with connected(f"127.0.0.1:{one}", user) as socket:
            await watching(socket, root.id)
            job = await sync_to_async(job_in)(store, root)
            verb, info = await hear_but_counts(socket, root)
            assert (verb, info["id"]) == ("add", job.id)
            assert json.loads(job.to_json()).items() <= info.items()
