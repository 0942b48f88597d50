"""The protocol, spoken by a plain client against the real application and a real Redis."""

import asyncio
import json
import logging
import threading
import time
from contextlib import suppress

import pytest
import websockets
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.test import AsyncClient

from moi_django import Group
from moi_django.bridge import redis_bridge
from moi_django.bridge.redis_bridge import _bridges
from moi_django.jobs import actions
from moi_django.site_store import get_store
from moi_django.store.logs import OutputPiece
from tests.helpers.processes import threads_of
from tests.helpers.records import finish, job_in, new_job
from tests.helpers.send_queue import until
from tests.helpers.websocket import close_code, connected, hear, hear_but_counts, say

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def make_user(name):
    return get_user_model().objects.create_user(name, password="x")


@pytest.fixture
async def ada(moi):
    user = await make_user("ada")
    return user, await sync_to_async(Group.of)(user)


async def test_a_client_of_moi_0_2_is_understood(server, ada, store):
    user, root = ada
    first = await sync_to_async(job_in)(store, root, "first")
    async with connected(server, user) as socket:
        await say(socket, "get", [])
        assert [(await hear(socket))[1]["id"] for _ in range(2)] == [root.id, first.id]
        second = await sync_to_async(job_in)(store, root, "second")
        verb, info = await hear(socket)
        assert (verb, info["id"], info["status"]) == ("add", second.id, "Queued")
        await sync_to_async(store.jobs.change)(
            second.id, lambda info: info.changed(status="I'm about to say hello")
        )
        verb, info = await hear(socket)
        assert (verb, info["id"], info["status"]) == ("update", second.id, "I'm about to say hello")
        await say(socket, "remove", [first.id])
        verb, info = await hear(socket)
        assert (verb, info["id"]) == ("remove", first.id)
        assert await sync_to_async(store.jobs.get)(first.id) is None
        await say(socket, "close", None)
        assert await close_code(socket) == 1000


async def test_watch_gives_a_snapshot_between_marks(server, ada, store):
    user, root = ada
    group = await sync_to_async(Group.create)(root, "a sweep")
    inner = await sync_to_async(job_in)(store, group, "inner")
    async with connected(server, user) as socket:
        await say(socket, "watch", [group.id])
        assert await hear(socket) == ("sync", {"group": group.id, "complete": False})
        assert (await hear(socket))[1]["id"] == group.id
        assert (await hear(socket))[1]["id"] == inner.id
        assert await hear(socket) == ("sync", {"group": group.id, "complete": True})
        # Nothing of the rest of the tree is told any more.
        await sync_to_async(job_in)(store, root, "elsewhere")
        later = await sync_to_async(job_in)(store, group, "later")
        verb, info = await hear_but_counts(socket, group)
        assert (verb, info["id"]) == ("add", later.id)


async def test_removing_a_group_removes_all_below_it(server, ada, store):
    user, root = ada
    group = await sync_to_async(Group.create)(root, "a sweep")
    jobs = [await sync_to_async(job_in)(store, group, f"{n}") for n in range(3)]
    async with connected(server, user) as socket:
        await say(socket, "get", [])
        for _ in range(5):
            await hear(socket)
        await say(socket, "remove", group.id)
        removed = set()
        while removed != {group.id, *(job.id for job in jobs)}:
            verb, info = await hear(socket)
            assert verb == "remove"
            removed.add(info["id"])
    assert await sync_to_async(store.tree.subtree)(root.id) == [root.info]


async def test_pubsub_of_a_group_does_what_moi_0_2_says(server, ada, store):
    user, root = ada
    other = await sync_to_async(Group.of)("somebody else")
    linked = await sync_to_async(job_in)(store, other, "linked")
    publish = sync_to_async(store.connection.redis.publish)
    async with connected(server, user) as socket:
        await say(socket, "get", [])
        await hear(socket)
        await publish(store.keys.channel(root.id), "not json")
        await publish(store.keys.channel(root.id), '{"add": 7}')
        await publish(store.keys.channel(root.id), json.dumps({"add": [linked.id, "nonsense"]}))
        verb, info = await hear(socket)
        assert (verb, info["id"]) == ("add", linked.id)
        assert await sync_to_async(store.tree.members)(root.id) == {linked.id}
        await publish(store.keys.channel(root.id), json.dumps({"get": [linked.id]}))
        verb, info = await hear(socket)
        assert (verb, info["id"]) == ("get", linked.id)
        await publish(store.keys.channel(root.id), json.dumps({"remove": [linked.id]}))
        verb, info = await hear(socket)
        assert (verb, info["id"]) == ("remove", linked.id)
        assert await sync_to_async(store.tree.members)(root.id) == set()
        assert await sync_to_async(store.jobs.get)(linked.id) is not None


async def test_what_belongs_to_another_is_as_good_as_unknown(server, ada, store):
    user, _ = ada
    other = await sync_to_async(Group.of)("somebody else")
    secret = await sync_to_async(job_in)(store, other, "secret")
    async with connected(server, user) as socket:
        for verb in ("get", "remove", "watch"):
            reasons = []
            for id in (secret.id, other.id, "unknown"):
                await say(socket, verb, [id])
                answer, error = await hear(socket)
                assert (answer, error["verb"], error["id"]) == ("error", verb, id)
                reasons.append(error["reason"])
            assert len(set(reasons)) == 1
    assert await sync_to_async(store.jobs.get)(secret.id) == secret


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "7", "null", '{"get": 7}', '{"get": [7]}', '{"eval": []}', "[" * 50_000),
        *('{"get": ["\\ud800"]}', '{"remove": ["\\ud800"]}', '{"watch": ["a\\u0000"]}'),
        json.dumps({"get": [str(number) for number in range(101)]}),
    ],
    ids=lambda text: text[:20],
)
async def test_a_frame_that_is_none_of_ours_is_answered_with_an_error(server, ada, text):
    user, root = ada
    async with connected(server, user) as socket:
        await socket.send(text)
        assert (await hear(socket))[0] == "error"
        await say(socket, "get", [])
        assert (await hear(socket))[1]["id"] == root.id


async def test_who_is_not_logged_in_is_told_so(server):
    async with connected(server, None) as socket:
        assert await close_code(socket) == 4401


async def test_an_unknown_path_is_told_so(server, ada):
    async with connected(server, ada[0], "/elsewhere/") as socket:
        assert await close_code(socket) == 4404


async def test_too_many_verbs_and_too_big_frames_end_the_connection(server, ada, moi):
    moi.update(VERBS_BURST=5, VERBS_PER_SECOND=0.1)
    async with connected(server, ada[0]) as socket:
        with suppress(websockets.ConnectionClosed):  # it may not wait for the last of them
            for _ in range(10):
                await say(socket, "get", [])
        assert await close_code(socket) == 4429
    async with connected(server, ada[0]) as socket:
        await socket.send('{"get": ["' + "x" * 70_000 + '"]}')
        assert await close_code(socket) == 1009


@pytest.fixture
def server_log(server, caplog):
    """What the web server logs, which it does not hand on to other loggers."""
    logging.getLogger("uvicorn.error").addHandler(caplog.handler)
    yield caplog
    logging.getLogger("uvicorn.error").removeHandler(caplog.handler)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"live": null}', 4429),
        ("no verb", 4400),
        ('{"get": ["' + "x" * 70_000 + '"]}', 1009),
        ('{"close": null}', 1000),
    ],
    ids=["flood", "mistakes", "big", "close"],
)
async def test_what_comes_after_the_end_of_a_connection_is_let_be(
    server, ada, server_log, frame, code
):
    """The web server is told to close once, however much a client has sent by then."""
    async with connected(server, ada[0]) as socket:
        # At once: later ones would not be sent to a server that has closed.
        await asyncio.gather(*(socket.send(frame) for _ in range(300)), return_exceptions=True)
        assert await close_code(socket) == code
    await nothing_is_left()
    async with connected(server, ada[0]):
        pass  # so whatever the last one had to say is said
    assert [record.getMessage() for record in server_log.records] == []


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "file://", "http://127.0.0.1:9", "http://127.0.0.1"],
)
async def test_a_page_of_another_origin_is_refused(server, ada, origin):
    with pytest.raises(websockets.InvalidStatus, match="403"):
        async with connected(server, ada[0], origin=origin):
            pass


async def test_a_client_that_is_no_browser_needs_a_session_and_no_origin(server, ada):
    user, root = ada
    async with connected(server, user, origin=None) as socket:
        await say(socket, "get", [])
        assert (await hear(socket))[1]["id"] == root.id
    async with connected(server, None, origin=None) as socket:
        assert await close_code(socket) == 4401


async def test_two_pages_hear_the_same_once(server, ada, store):
    user, root = ada
    async with connected(server, user) as one, connected(server, user) as two:
        for socket in (one, two):
            await say(socket, "get", [])
            await hear(socket)
        job = await sync_to_async(job_in)(store, root)
        for socket in (one, two):
            verb, info = await hear(socket)
            assert (verb, info["id"]) == ("add", job.id)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.2)


def parts_of_the_bridge():
    return len(_bridges) + len(threads_of("moi-bridge"))


async def nothing_is_left():
    """Return when the last connection has ended with all that served it."""
    deadline = time.monotonic() + 30
    while parts_of_the_bridge():
        assert time.monotonic() < deadline, "the bridge outlives its last consumer"
        await asyncio.sleep(0.01)


async def test_nothing_of_a_connection_stays_behind(server, ada, store):
    async with connected(server, ada[0]) as socket:
        await say(socket, "get", [])
        await hear(socket)
        assert parts_of_the_bridge()
    await nothing_is_left()


async def test_a_slow_view_holds_up_no_page(server, ada, store):
    """Async views, consumers and middleware of a process share one thread for what blocks."""
    is_over = threading.Event()
    async with connected(server, ada[0]) as socket:
        slow = asyncio.create_task(sync_to_async(is_over.wait)())
        try:
            await say(socket, "get", [])
            await hear(socket)
            await socket.close()
            await nothing_is_left()
        finally:
            is_over.set()
            await slow


async def test_a_killed_connection_to_redis_leaves_no_gap(server, ada, store):
    user, root = ada
    job = await sync_to_async(job_in)(store, root)
    async with connected(server, user) as socket:
        await say(socket, "watch", [root.id])
        for _ in range(4):
            await hear(socket)
        await sync_to_async(store.connection.redis.client_kill_filter)(_type="pubsub")
        # While the bridge cannot hear it:
        await sync_to_async(store.jobs.change)(job.id, lambda info: info.changed(status="unheard"))
        heard = []
        while ("live", True) not in heard or "unheard" not in str(heard):
            heard.append(await hear(socket))
        assert ("live", False) in heard


@pytest.mark.parametrize("ending", ["logout", "password", "inactive"])
async def test_a_socket_ends_with_its_session(server, ada, moi, ending):
    moi["SESSION_CHECK"] = 0.05
    user, _ = ada
    client = AsyncClient()
    await client.aforce_login(user)
    headers = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}
    async with websockets.connect(
        f"ws://{server}/moi-ws/", origin=f"http://{server}", additional_headers=headers
    ) as socket:
        await say(socket, "live", None)
        assert await hear(socket) == ("live", True)
        if ending == "logout":
            await client.alogout()
        elif ending == "password":
            await sync_to_async(user.set_password)("new")
            await user.asave()
        else:
            user.is_active = False
            await user.asave()
        assert await close_code(socket) == 4401


async def test_a_socket_ends_with_its_session_also_after_redis_was_away(
    own_redis, server, moi, caplog, monkeypatch
):
    moi["SESSION_CHECK"] = 0.5
    # However long Redis takes to start.
    monkeypatch.setattr("moi_django.protocol.authentication.MAX_FAILED_CHECKS", 1_000)
    user = await make_user("ada")
    async with connected(server, user) as socket:
        await say(socket, "watch", [(await sync_to_async(Group.of)(user)).id])
        await say(socket, "live", None)
        while await hear(socket) != ("live", True):
            pass
        await sync_to_async(own_redis.kill)()
        await until(lambda: "Cannot look at the session of a page" in caplog.text)
        await sync_to_async(own_redis.start)()
        await Session.objects.all().adelete()
        assert await close_code(socket) == 4401


async def test_a_socket_that_cannot_be_checked_for_long_is_closed(own_redis, server, moi):
    moi["SESSION_CHECK"] = 0.05
    user = await make_user("ada")
    async with connected(server, user) as socket:
        await say(socket, "live", None)
        await hear(socket)
        await sync_to_async(own_redis.kill)()
        assert await close_code(socket) == 1013


async def test_a_socket_whose_user_cannot_be_judged_is_closed(server, ada, moi):
    moi["SESSION_CHECK"] = 0.05

    def fail(user, action, info):
        raise RuntimeError("no answer")

    async with connected(server, ada[0]) as socket:
        await say(socket, "get", [])
        await hear(socket)
        moi["AUTHORIZE"] = fail
        assert await close_code(socket) == 1013


async def test_what_somebody_else_removes_meanwhile_is_removed_once(ada, store):
    user, root = ada
    job = await sync_to_async(job_in)(store, root)
    found = [sync_to_async(actions.act, thread_sensitive=False)] * 4
    outcomes = await asyncio.gather(
        *[remove(user, "remove", job.id) for remove in found], return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "Done",
        *["JobNotFound"] * 3,
    ]


async def test_a_root_group_that_is_none_of_ours_is_unknown(server, ada, store):
    user, root = ada
    await sync_to_async(store.connection.redis.set)(store.keys.info(root.id), "not ours")
    async with connected(server, user) as socket:
        await say(socket, "get", [root.id])
        assert (await hear(socket))[0] == "error"


async def test_a_permission_that_is_taken_away_counts_soon(server, ada, moi, store):
    moi["SESSION_CHECK"] = 0.05
    moi["VERBS_BURST"] = 1_000_000
    user, _ = ada
    theirs = await sync_to_async(Group.of)("somebody else")
    permission = await Permission.objects.aget(codename="view_jobs")
    await user.user_permissions.aadd(permission)
    async with connected(server, user) as socket:
        await say(socket, "get", [theirs.id])
        assert (await hear(socket))[0] == "get"
        await user.user_permissions.aremove(permission)
        answers = []
        while "error" not in answers:
            await say(socket, "get", [theirs.id])
            answers.append((await hear(socket))[0])


async def test_an_error_names_the_verb(server, ada):
    user, _ = ada
    async with connected(server, user) as socket:
        await socket.send('{"cancel": 5}')
        verb, error = await hear(socket)
        assert (verb, error["verb"]) == ("error", "cancel")
        assert error["reason"].startswith("A verb comes with an id")


@pytest.fixture
def quick(monkeypatch):
    """A bridge that looks for what Redis has forgotten all the time."""
    monkeypatch.setattr(redis_bridge, "HEARTBEAT", 0.1)


@pytest.mark.parametrize("viewport", [True, False], ids=["a page", "a client of moi 0.2"])
async def test_a_page_drops_what_redis_has_forgotten(quick, server, ada, store, viewport):
    user, root = ada
    group = await sync_to_async(Group.create)(user, "a group")
    expired, member, kept = [
        await sync_to_async(job_in)(store, each, name)
        for each, name in ((root, "expired"), (group, "member"), (root, "kept"))
    ]
    async with connected(server, user) as socket:
        if viewport:
            await say(socket, "watch", [root.id])
        await say(socket, "get", [])
        await until_heard(socket, lambda verb, info: info.get("id") == kept.id)
        await sync_to_async(store.connection.redis.pexpire)(store.keys.info(expired.id), 1)
        await until_heard(
            socket, lambda verb, info: (verb, info.get("id")) == ("remove", expired.id)
        )
        await sync_to_async(store.connection.redis.delete)(store.keys.members(group.id))
        await until_heard(
            socket, lambda verb, info: (verb, info.get("id")) == ("remove", member.id)
        )


async def test_after_redis_was_emptied_a_page_finds_its_new_tree(quick, own_redis, server, ada):
    user, root = ada
    store = get_store()
    await sync_to_async(job_in)(store, root, "lost")
    async with connected(server, user) as socket:
        await say(socket, "watch", [root.id])
        await until_heard(socket, lambda verb, info: info.get("name") == "lost")
        await sync_to_async(store.connection.redis.flushall)()
        assert await close_code(socket) == 1013
    async with connected(server, user) as socket:
        await say(socket, "get", [])
        await until_heard(socket, lambda verb, info: info.get("type") == "group")
        await sync_to_async(lambda: job_in(store, Group.of(user), "new"))()
        await until_heard(socket, lambda verb, info: info.get("name") == "new")


async def until_heard(socket, condition):
    """Return when a frame is heard that says something; payloads may be others than objects."""
    while True:
        verb, payload = await hear(socket)
        if isinstance(payload, dict) and condition(verb, payload):
            return


async def test_a_page_may_watch_so_many_groups(server, ada, moi, store):
    moi["WATCH_LIMIT"] = 2
    user, root = ada
    async with connected(server, user) as socket:
        await say(socket, "watch", [root.id, "a", "b"])
        assert await hear(socket) == (
            "error",
            {"verb": "watch", "reason": "At most 2 groups can be watched by one page."},
        )


async def test_what_was_undone_at_once_stays_undone(server, ada, store):
    """The notice of an addition must not be taken for a request to add."""
    user, root = ada
    other = await sync_to_async(Group.of)("somebody else")
    job = await sync_to_async(job_in)(store, other)

    def there_and_back():
        for _ in range(20):
            root.add(job.id)
            root.remove(job.id)

    async with connected(server, user) as socket:
        await say(socket, "watch", [root.id])
        await sync_to_async(there_and_back)()
        last = await sync_to_async(job_in)(store, root, "last")
        while (await hear(socket))[1].get("id") != last.id:
            pass
        # By now every notice has been heard.
        assert await sync_to_async(store.tree.members)(root.id) == {last.id}


async def test_poison_in_one_tree_leaves_the_others_live(server, ada, store):
    user, root = ada
    bob = await make_user("bob")
    his = await sync_to_async(Group.of)(bob)
    odd = await sync_to_async(job_in)(store, root, "odd")
    async with connected(server, user) as socket, connected(server, bob) as other:
        for each, group in ((socket, root), (other, his)):
            await say(each, "watch", [group.id])
            while (await hear(each)) != ("sync", {"group": group.id, "complete": True}):
                pass
        publish = sync_to_async(store.connection.redis.publish)
        for poison in ('"result": NaN', '"path": 5', '"parent": [1]', '"name": "\\ud800"'):
            raw = f'{{"id": "{odd.id}", {poison}}}'
            await sync_to_async(store.connection.redis.set)(store.keys.info(odd.id), raw)
            await publish(store.keys.channel(odd.id), json.dumps({"update": [odd.id]}))
        await publish(store.keys.channel(root.id), '{"add": ["\\ud800"]}')
        await publish(store.keys.channel(root.id), '{"get": [["x"]], "done": 7}')
        job = await sync_to_async(job_in)(store, his)
        assert (await hear(other))[1]["id"] == job.id


async def test_many_ids_cost_as_many_verbs(server, ada, moi):
    moi["VERBS_PER_SECOND"] = 0.1
    async with connected(server, ada[0]) as socket:
        ids = [f"{number}" for number in range(60)]
        with suppress(websockets.ConnectionClosed):  # it may not wait for the last of them
            for _ in range(3):
                await say(socket, "get", ids)
        assert await close_code(socket) == 4429


async def frames_until(socket, *last):
    """Return the frames up to a certain one."""
    frames = []
    while not frames or frames[-1] != last:
        frames.append(await hear(socket))
    return frames


async def test_a_snapshot_has_the_beginning_and_more_is_asked_for(server, ada, moi, store):
    moi.update(PAGE_ROWS=3, SNAPSHOT_LIMIT=100)
    user, root = ada
    group = await sync_to_async(Group.create)(root, "a sweep")
    jobs = await sync_to_async(lambda: [job_in(store, group, f"{n}") for n in range(8)])()
    async with connected(server, user) as socket:
        await say(socket, "watch", {root.id: 5})
        frames = await frames_until(socket, "sync", {"group": root.id, "complete": True})
        assert [info["name"] for verb, info in frames if verb == "get"] == [
            *("ada", "a sweep", "0", "1", "2")
        ]
        [sweep] = [info for _, info in frames if info.get("id") == group.id]
        assert (sweep["size"], sweep["totals"]) == (8, {"queued": 8})
        assert [cut for verb, cut in frames if verb == "more"] == [
            {"group": group.id, "covered": 3}
        ]
        for covered in (6, 8):
            await say(socket, "more", group.id)
            frames = await frames_until(socket, "more", {"group": group.id, "covered": covered})
            got = [info["id"] for verb, info in frames if verb == "get"]
            assert got == [job.id for job in jobs[covered // 4 * 3 : covered]]
        await say(socket, "more", [root.id])
        assert await hear(socket) == ("more", {"group": root.id, "covered": 1})
        await say(socket, "more", ["unknown"])
        verb, error = await hear(socket)
        assert (verb, error["verb"], error["id"]) == ("error", "more", "unknown")


async def test_of_what_a_page_does_not_show_it_hears_in_numbers(server, ada, moi, store):
    moi.update(PAGE_ROWS=2)
    user, root = ada
    group = await sync_to_async(Group.create)(root, "a sweep")
    jobs = await sync_to_async(lambda: [job_in(store, group, f"{n}") for n in range(4)])()
    async with connected(server, user) as socket:
        await say(socket, "watch", [group.id])
        await frames_until(socket, "sync", {"group": group.id, "complete": True})
        await sync_to_async(finish)(store, jobs[0])  # which is shown, as one of the oldest
        await sync_to_async(finish)(store, jobs[3])
        heard = []
        while not all(  # in either order
            ("update", said) in heard for said in (jobs[0].id, {"success": 2, "queued": 2})
        ):
            verb, info = await hear(socket)
            heard.append((verb, info.get("totals", info.get("id"))))
        assert ("update", jobs[3].id) not in heard
        await say(socket, "more", group.id)
        frames = await frames_until(socket, "more", {"group": group.id, "covered": 4})
        assert [info["id"] for verb, info in frames if verb == "get"] == [
            job.id for job in jobs[2:]
        ]


def merged(known, change):
    """Return what a page that takes lists makes of a change."""
    since = change.pop("since", None)
    assert since in (None, known["version"])
    return change if since is None else known | change


async def test_who_takes_lists_hears_of_a_tick_in_a_frame_and_only_of_what_is_other(
    server, ada, moi, store
):
    moi["TICK"] = 0.3  # in which all of it comes
    user, root = ada
    jobs = await sync_to_async(lambda: [job_in(store, root, f"{n}") for n in range(3)])()
    done = {"group": root.id, "complete": True}

    def change(number):
        for job in jobs:
            store.jobs.change(job.id, lambda info: info.changed(status=f"step {number}"))

    async with connected(server, user, "/moi-ws/?lists=1") as socket:
        await say(socket, "watch", [root.id])
        frames = await frames_until(socket, "sync", done)
        page = {info["id"]: info for verb, info in frames if verb == "get"}
        sizes = []
        for number in range(3):
            await sync_to_async(change)(number)
            while {page[job.id]["status"] for job in jobs} != {f"step {number}"}:
                verb, changes = await hear(socket)
                assert verb == "update"
                sizes.append(len(changes))
                page |= {info["id"]: merged(page[info["id"]], info) for info in changes}
        assert max(sizes) > 1
        new = await sync_to_async(job_in)(store, root, "new")
        heard = {}
        while heard.keys() != {"add", "update"}:  # in either order
            verb, [info] = await hear(socket)
            heard[verb] = info
        assert (heard["add"]["id"], "since" in heard["add"]) == (new.id, False)
        assert heard["update"].keys() == {"id", "since", "version", "size", "totals"}
        await sync_to_async(finish)(store, jobs[0], result="long")
        ended = await sync_to_async(store.jobs.get)(jobs[0].id)
        while json.loads(ended.to_wire()) not in (await hear(socket))[1]:
            pass
        await sync_to_async(store.tree.remove)(new.id)
        verb, [info] = await hear(socket)
        while verb == "update":
            verb, [info] = await hear(socket)
        assert (verb, info["id"]) == ("remove", new.id)


async def test_without_a_watch_lists_are_not_sent(server, ada, store):
    user, root = ada
    async with connected(server, user, "/moi-ws/?lists=1") as socket:
        await say(socket, "get", [])
        await hear(socket)
        job = await sync_to_async(job_in)(store, root)
        verb, info = await hear(socket)
        assert (verb, info["id"]) == ("add", job.id)


async def test_a_page_shows_so_many_rows_and_no_more(server, ada, moi, store):
    moi.update(PAGE_ROWS=2, ROWS_LIMIT=5)
    user, root = ada
    group = await sync_to_async(Group.create)(root, "a sweep")
    await sync_to_async(lambda: [job_in(store, group, f"{n}") for n in range(9)])()
    async with connected(server, user) as socket:
        await say(socket, "watch", [root.id])
        await frames_until(socket, "sync", {"group": root.id, "complete": True})
        await say(socket, "more", [group.id])
        verb, error = await hear(socket)
        assert (verb, error["reason"]) == (
            "error",
            "No more than 5 rows are shown: open the group alone.",
        )
        # It grows at its top, and then goes back to the newest.
        new = [(new_job(root.info, f"new {n}"), b"") for n in range(4)]
        await sync_to_async(store.jobs.create_many)(new)  # at once: a tick tells of all
        frames = await frames_until(socket, "sync", {"group": root.id, "complete": True})
        shown = [info["name"] for verb, info in frames if verb == "get"]
        assert shown == ["ada", "new 3", "new 2"]


async def test_changes_come_a_few_times_a_second(server, ada, store):
    """However fast a job changes; the first change comes at once, the last one comes for sure."""
    user, root = ada
    job = await sync_to_async(job_in)(store, root)

    def hurry():
        for number in range(400):
            store.jobs.change(job.id, lambda info, n=number: info.changed(status=f"step {n}"))

    async with connected(server, user) as socket:
        await say(socket, "watch", [root.id])
        await frames_until(socket, "sync", {"group": root.id, "complete": True})
        started = time.monotonic()
        await sync_to_async(hurry)()
        told = []
        while "step 399" not in told:
            _, info = await hear(socket)
            if info.get("id") == job.id:
                told.append(info["status"])
        assert len(told) <= 2 + (time.monotonic() - started) / 0.05


async def test_a_long_result_is_sent_to_who_asks_for_it(server, ada, moi, store):
    moi["RESULT_PREVIEW"] = 100
    user, root = ada
    job = await sync_to_async(job_in)(store, root)
    short = await sync_to_async(job_in)(store, root, "short")
    async with connected(server, user) as socket:
        await say(socket, "get", [])
        for _ in range(3):
            await hear(socket)
        for each, result in ((job, "x" * 200), (short, "y")):
            await sync_to_async(finish)(store, each, result=result)
            info = {}
            while info.get("id") != each.id:
                verb, info = await hear(socket)
            assert (verb, info["status"]) == ("update", "Success")
            is_long = each is job
            assert info["result"] == (None if is_long else result)
            assert info.get("result_omitted", False) is is_long
        await say(socket, "get", [job.id])
        assert (await hear(socket))[1]["result"] == "x" * 200


async def test_output_comes_as_it_is_written(server, ada, store):
    user, root = ada
    job = await sync_to_async(job_in)(store, root)
    log = store.logs.open(job.id)

    def write(*texts):
        log.append([OutputPiece("stdout", text) for text in texts], 1_000_000)

    await sync_to_async(write)("before\n")
    async with connected(server, user) as socket:
        await say(socket, "log", [job.id])
        assert await hear(socket) == (
            "log",
            {"id": job.id, "at": 0, "pieces": [["stdout", "before\n"]]},
        )
        await sync_to_async(write)("after\n")
        verb, said = await hear(socket)
        assert (verb, said["at"], said["pieces"]) == ("log", 7, [["stdout", "after\n"]])
        # A gap is found: the bridge subscribes anew.
        await sync_to_async(store.connection.redis.client_kill_filter)(_type="pubsub")
        await sync_to_async(write)("unheard\n")
        verbs = {}
        while "log" not in verbs:
            verb, payload = await hear(socket)
            verbs[verb] = payload
        assert verbs["log"]["pieces"] == [["stdout", "unheard\n"]]
        await say(socket, "log", [])
        await say(socket, "live", None)
        while (await hear(socket))[0] != "live":
            pass
        await sync_to_async(write)("nobody hears this")
        await say(socket, "get", [job.id])
        assert (await hear(socket))[0] == "get"


async def test_a_page_that_comes_late_gets_the_last_output(server, ada, store):
    user, root = ada
    job = await sync_to_async(job_in)(store, root)
    log = store.logs.open(job.id)

    def write():
        for number in range(100):
            log.append([OutputPiece("stdout", f"{number:04}\n")], 1_000_000)

    await sync_to_async(write)()
    async with connected(server, user) as socket:
        await say(socket, "log", job.id)
        _, said = await hear(socket)
        assert said["pieces"][-1] == ["stdout", "0099\n"]
        assert said["at"] == 5 * (100 - len(said["pieces"]))


async def test_a_socket_that_may_no_longer_see_is_closed(server, ada, moi, store):
    moi["SESSION_CHECK"] = 0.05
    user, _ = ada
    theirs = await sync_to_async(Group.of)("somebody else")
    permission = await Permission.objects.aget(codename="view_jobs")
    await user.user_permissions.aadd(permission)
    async with connected(server, user) as socket:
        await say(socket, "watch", [theirs.id])
        await frames_until(socket, "sync", {"group": theirs.id, "complete": True})
        await user.user_permissions.aremove(permission)
        assert await close_code(socket) == 1013
