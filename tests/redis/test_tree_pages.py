"""Trees of any size are read in part, in the order of age."""

import pytest

from moi_django import Group
from moi_django.models import State
from moi_django.store.tree_pages import PageRequest
from tests.helpers.records import finish, job_in, many_jobs_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(store):
    return Group.of("ada")


def names(infos):
    return [info.name for info in infos]


def test_a_page_has_the_newest_at_the_top_and_the_oldest_in_groups(store, root):
    group = Group.create(root, "a sweep")
    for number in range(4):
        job_in(store, root, f"top {number}")
        job_in(store, group, f"in it {number}")
    page = store.pages.first_page(root.id, {root.id: 3}, 2, 100)
    assert names(page.infos) == ["ada", "top 3", "top 2", "top 1"]
    assert page.shown_counts == {root.id: 3}
    page = store.pages.first_page(root.id, {}, 5, 100)
    assert names(page.infos)[1:6] == ["top 3", "top 2", "top 1", "top 0", "a sweep"]
    assert names(page.infos)[6:] == [f"in it {number}" for number in range(4)]
    assert page.shown_counts == {root.id: 5, group.id: 4}
    page = store.pages.first_page(group.id, {}, 2, 100)
    assert names(page.infos) == ["a sweep", "in it 0", "in it 1"]


def test_groups_come_with_their_size_and_totals(store, root):
    group = Group.create(root, "a sweep")
    jobs = [job_in(store, group) for _ in range(3)]
    finish(store, jobs[0])
    top, sweep, *_ = store.pages.first_page(root.id, {}, 1, 100).infos
    assert (top.size, top.totals) == (1, {"success": 1, "queued": 2})
    assert (sweep.size, sweep.totals) == (3, {"success": 1, "queued": 2})
    finish(store, jobs[1], State.FAILED)
    [again] = store.tree.with_counts([sweep])
    assert again.totals == {"success": 1, "failed": 1, "queued": 1}


def test_no_more_than_the_limit_upper_levels_first(store, root):
    groups = [Group.create(root, f"group {number}") for number in range(3)]
    for group in groups:
        many_jobs_in(store, group, 4)
    page = store.pages.first_page(root.id, {}, 4, 10)
    assert len(page.infos) == 10
    assert page.shown_counts == {
        root.id: 3,
        groups[2].id: 4,
        groups[1].id: 2,
        groups[0].id: 0,
    }


def test_of_what_is_not_there_the_page_is_empty(store, root):
    page = store.pages.first_page("nobody", {}, 5, 5)
    assert (page.infos, page.shown_counts) == ([], {})


def test_what_has_expired_leaves_no_hole(store, root):
    jobs = [job_in(store, root, f"job {number}") for number in range(5)]
    for job in jobs[1:3]:
        store.connection.redis.delete(store.keys.info(job.id))
    page = store.pages.load(PageRequest(root.id, 0, 2))
    assert names(page) == ["job 0", "job 3"]
    assert (
        store.tree.member_count(root.id)
        == store.connection.redis.zcard(store.keys.order(root.id))
        == 3
    )


def test_what_another_program_has_put_into_a_group_is_found(store, root):
    linked = job_in(store, Group.of("bob"), "linked", date_created="2020-01-01 00:00:00.000000")
    job = job_in(store, root, "job")
    store.connection.redis.sadd(store.keys.members(root.id), linked.id)
    page = store.pages.load(PageRequest(root.id, 0, 10))
    assert names(page) == ["linked", "job"]
    store.connection.redis.srem(store.keys.members(root.id), job.id)
    page = store.pages.load(PageRequest(root.id, 0, 10))
    assert names(page) == ["linked"]


def test_a_walk_meets_each_once_in_a_cycle_too(store, root):
    group = Group.create(root, "a sweep")
    many_jobs_in(store, group, 450)
    store.connection.redis.sadd(store.keys.members(group.id), root.id)
    walked = [info.id for info in store.pages.walk(root.id)]
    assert walked[:2] == [root.id, group.id]
    assert len(walked) == len(set(walked)) == 452
    assert list(store.pages.walk("nobody")) == []


def test_the_rest_of_a_group_is_what_is_not_known(store, root):
    jobs = [job_in(store, root, f"job {number}") for number in range(6)]
    known = {jobs[0].id, jobs[2].id, jobs[5].id}
    assert names(store.pages.load(PageRequest(root.id, 0, 5), known)) == [
        "job 1",
        "job 3",
        "job 4",
    ]


def test_an_order_lasts_as_long_as_its_group(store, root):
    group = Group.create(root, "a sweep")
    job = job_in(store, group)
    keys = [store.keys.order(each.id) for each in (root, group)]
    for key in store.keys.ancestors(job):
        store.connection.redis.expire(key, 10)
    store.jobs.change(job.id, lambda info: info.changed(status="on my way"))
    assert all(store.connection.redis.ttl(key) > 1000 for key in keys)
    group.delete()
    assert store.connection.redis.exists(keys[1]) == 0
    assert store.connection.redis.zcard(keys[0]) == 0
