"""A job that did not succeed is run again, as a new one beside it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import transaction

from moi_django import Group, Job, Options, ctx_default, submit, submit_nouser
from moi_django.cluster import connections
from moi_django.exceptions import GroupNotFound, InvalidJob, JobNotFound, PayloadRefused
from moi_django.models import State
from moi_django.site_store import get_store as site_store
from tests.helpers.held_job import Held
from tests.helpers.processes import manage, wait_for
from tests.helpers.records import finish, job_in
from tests.helpers.websocket import connected, hear, say
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30


def failed(path, times=1, owner="no-user", **options):
    """Return a job that has failed and succeeds in a later run."""
    options = {"options": Options(**options)} if options else {}
    job = submit(
        ctx_default, owner, "a job", "/there", work.fails_until, str(path), times, **options
    )
    assert job.wait(SOON).state is State.FAILED
    return job


def test_a_retry_is_a_new_job_and_the_old_one_tells_of_it(cluster, tmp_path, store):
    group = Group.create("no-user", "a group")
    old = failed(tmp_path / "runs", owner=group, timeout=20)
    before = old.info
    new = old.retry()
    assert new.value(SOON) == 2
    assert new.id != old.id
    for field in ("name", "url", "parent", "context", "attempts"):
        assert getattr(new.info, field) == getattr(before, field)
    assert store.tree.totals(group.id) == group.totals() == {"retried": 1, "success": 1}
    assert old.refresh().info == before.changed(retried=new.id)
    with pytest.raises(InvalidJob, match=f"was retried before, as {new.id}"):
        old.retry()
    assert [job.id for job in group.jobs()] == [old.id, new.id]
    old.remove()
    assert store.tree.totals(group.id) == {"success": 1}


def test_a_retry_that_fails_is_retried_in_turn(cluster, tmp_path):
    job = failed(tmp_path / "runs", times=2)
    again = job.retry().wait(SOON)
    assert again.state is State.FAILED
    assert again.retry().value(SOON) == 3


def test_its_options_are_those_of_the_first(cluster, tmp_path):
    job = failed(tmp_path / "runs", retries=0, timeout=17.0)
    info = job.retry().wait(SOON).info
    assert (info.state, info.attempts) == (State.SUCCESS, 1)
    # The retry of one that has used up its runs has all of them again.
    slow = submit_nouser(work.held, "nowhere", str(tmp_path / "told"), options=Options(retries=2))
    slow.cancel()
    again = slow.retry()
    again.cancel()
    assert (again.info.attempt, again.info.attempts) == (1, 3)


def test_what_was_cancelled_can_be_retried_too(cluster, tmp_path):
    held = Held(tmp_path, "held")
    assert held.pid
    held.job.cancel()
    assert held.ending() == "interrupted"
    held.gate.touch()
    assert held.job.retry().value(SOON) == "released"


def test_what_has_not_ended_or_has_succeeded_is_not_retried(cluster, tmp_path, store):
    held = Held(tmp_path, "held")
    assert held.pid
    with pytest.raises(InvalidJob, match="has not ended"):
        held.job.retry()
    held.gate.touch()
    held.job.wait(SOON)
    with pytest.raises(InvalidJob, match="has succeeded"):
        held.job.retry()
    assert store.jobs.payload(held.job.id) is None
    held.job.remove()
    with pytest.raises(JobNotFound):
        held.job.retry()


def test_a_function_is_kept_up_to_a_limit(cluster, moi):
    moi["RETRY_PAYLOAD_LIMIT"] = 50_000
    short = submit_nouser(int, "x" * 10_000).wait(SOON)
    long = submit_nouser(int, "x" * 100_000).wait(SOON)
    assert len(site_store().jobs.payload(short.id)) < 50_000
    assert site_store().jobs.payload(long.id) is None
    with pytest.raises(PayloadRefused, match="RETRY_PAYLOAD_LIMIT"):
        long.retry()
    assert long.refresh().info.retried is None


def test_a_function_that_somebody_has_changed_is_not_run(cluster, tmp_path, store):
    one, two = failed(tmp_path / "one"), failed(tmp_path / "two")
    store.connection.redis.set(
        store.keys.payload(one.id), store.connection.redis.get(store.keys.payload(two.id))
    )
    with pytest.raises(PayloadRefused, match="not signed by this site"):
        one.retry()
    assert one.refresh().info.retried is None
    assert len((tmp_path / "two").read_text().splitlines()) == 1


def test_of_several_who_retry_at_once_one_does(cluster, tmp_path, store):
    job = failed(tmp_path / "runs")

    def retry(_):
        with suppress(InvalidJob):
            return Job.get(job.id).retry()

    with ThreadPoolExecutor(8) as pool:
        [new] = [each for each in pool.map(retry, range(8)) if each]
    assert new.value(SOON) == 2
    assert {each.id for each in Group.of("no-user").jobs()} == {job.id, new.id}
    assert len((tmp_path / "runs").read_text().splitlines()) == 2


def test_without_a_cluster_it_waits(cluster, moi, tmp_path, store):
    job = failed(tmp_path / "runs")
    # The engine lingers a moment, and would take it.
    wait_for(lambda: not store.queue.workers(job.info.queue))
    connections.close_connections()
    moi["CONTEXTS"] = {"default": {"connection_file": str(tmp_path / "none.json")}}
    new = job.retry()
    assert store.queue.waiting_count("default") == 1
    assert (new.state, job.refresh().info.retried) == (State.QUEUED, new.id)


def test_in_a_transaction_it_waits_for_the_commit(cluster, tmp_path):
    job = failed(tmp_path / "runs")
    with transaction.atomic():
        new = job.retry()
        assert job.refresh().info.retried is None
    assert new.value(SOON) == 2
    assert job.refresh().info.retried == new.id


def test_a_group_retries_what_has_failed_once(cluster, tmp_path, store):
    group = Group.create("no-user", "a group")
    inner = Group.create(group, "in it")
    first, second = failed(tmp_path / "one", owner=group), failed(tmp_path / "two", owner=inner)
    linked = failed(tmp_path / "linked")
    group.add(linked)
    fine = submit(ctx_default, group, "fine", None, work.triple, 1).wait(SOON)
    held = Held(tmp_path, "held", owner=group)
    held.job.cancel()
    new = group.retry()
    assert {job.wait(SOON).info.parent for job in new} == {group.id, inner.id}
    assert [job.refresh().info.retried is None for job in (first, second)] == [False, False]
    for job in (linked, fine, held.job):
        assert job.refresh().info.retried is None
    assert group.retry() == []
    assert store.tree.totals(group.id) == {"retried": 2, "success": 3, "cancelled": 1}


def test_of_a_group_those_are_left_out_whose_function_is_gone(cluster, tmp_path, store):
    group = Group.create("no-user", "a group")
    gone = finish(store, job_in(store, group), State.FAILED)
    with pytest.raises(PayloadRefused):
        group.retry()
    failed(tmp_path / "runs", owner=group)
    [new] = group.retry()
    assert new.value(SOON) == 2
    assert store.jobs.get(gone.id).retried is None


async def test_a_page_retries(server, cluster, tmp_path, store):
    user = await sync_to_async(get_user_model().objects.create_user)("ada")
    old = await sync_to_async(failed)(tmp_path / "runs", owner=user)
    async with connected(server, user) as socket:
        await say(socket, "watch", [old.info.parent])
        await say(socket, "retry", [old.id])
        heard = {}
        while len(heard) < 2 or heard[old.id].get("retried") is None or not _is_done(heard):
            verb, info = await hear(socket)
            if verb in ("add", "update", "get") and info["type"] == "job":
                heard[info["id"]] = info
        assert heard[heard[old.id]["retried"]]["state"] == "success"
        await say(socket, "retry", [old.id])
        verb, error = await hear(socket)
        while verb != "error":
            verb, error = await hear(socket)
        assert (error["verb"], error["id"]) == ("retry", old.id)
        assert "was retried before" in error["reason"]


def _is_done(heard):
    return all(info["state"] in ("failed", "success") for info in heard.values())


def test_the_command_retries(cluster, tmp_path, site_env, connection_file):
    job = failed(tmp_path / "runs")
    env = {**site_env, "MOI_CONNECTION_FILE": connection_file}
    ran = manage("moi", "retry", f"--job-id={job.id}", **env)
    assert (ran.returncode, ran.stderr) == (0, "")
    new = job.refresh().info.retried
    assert ran.stdout == f"Submitted job id: {new}\n"
    assert Job.get(new).value(SOON) == 2
    ran = manage("moi", "retry", f"--job-id={job.id}", **env)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"Job {job.id} was retried before, as {new}: retry that one.\n"


def test_nobody_sees_a_retry_without_its_note_on_the_old_job(cluster, tmp_path, store):
    """So none can be lost between the two, whoever dies."""
    group, over, seen = Group.create("no-user", "a group"), threading.Event(), []
    jobs = [failed(tmp_path / str(number), owner=group) for number in range(10)]

    def look():
        while not over.is_set():
            pipeline = store.connection.redis.pipeline(transaction=True)
            pipeline.scard(store.keys.members(group.id))
            pipeline.hget(store.keys.totals(group.id), "retried")
            members, retried = pipeline.execute()
            seen.append((members - len(jobs), int(retried or 0)))

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            wait_for(lambda: seen)
            retries = [job.retry() for job in jobs]
            wait_for(lambda: seen[-1] == (len(jobs), len(jobs)))
        finally:
            over.set()
        looking.result()
    assert [job.value(SOON) for job in retries] == [2] * len(jobs)
    assert len(set(seen)) > 1 and all(new == retried for new, retried in seen)


def test_a_retry_in_a_group_that_is_being_removed_is_refused(cluster, tmp_path, store):
    group = Group.create("no-user", "a group")
    job = failed(tmp_path / "runs", owner=group)
    store.connection.redis.set(store.keys.seal(group.id), "")
    with pytest.raises(GroupNotFound):
        job.retry()
    assert [each.id for each in group.jobs()] == [job.id]


def test_the_page_of_a_job_retries(cluster, tmp_path, client):
    user = get_user_model().objects.create_user("ada")
    client.force_login(user)
    old = failed(tmp_path / "runs", owner=user)
    page = client.get(f"/moi/jobs/{old.id}/").content.decode()
    assert 'value="retry"' in page
    answer = client.post(f"/moi/jobs/{old.id}/act/", {"act": "retry"})
    new = old.refresh().info.retried
    assert answer.url == f"/moi/jobs/{new}/"
    assert Job.get(new).value(SOON) == 2
    page = client.get(f"/moi/jobs/{old.id}/").content.decode()
    assert " data-retried" in page  # by which its button is hidden
    assert f'href="/moi/jobs/{new}/"' in page
    # Pressed again in another window, it leads to the same job, and nothing more is run.
    assert client.post(f"/moi/jobs/{old.id}/act/", {"act": "retry"}).url == f"/moi/jobs/{new}/"
    assert old.refresh().info.retried == new
    assert len(Path(tmp_path / "runs").read_text().splitlines()) == 2
