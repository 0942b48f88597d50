"""Trees of every shape: what goes through one ends, is right, and forgets what is gone."""

import io
import json

import pytest
from django.core.management import call_command

from moi_django import Group, Job
from moi_django.exceptions import GroupNotFound, JobNotFound
from moi_django.models import State
from moi_django.pages.status_div import MAX_DEPTH, build_status_div
from tests.helpers.records import finish, job_in, new_job
from tests.helpers.redis_keys import everything
from tests.helpers.rendering import render

pytestmark = pytest.mark.django_db
DEEP = 300


@pytest.fixture
def root(ada):
    return Group.of(ada)


def names(group):
    return [node.name for node in group.traverse()]


def userjobs(key):
    """Return the names of the jobs that the command shows."""
    out = io.StringIO()
    call_command("moi", "userjobs", f"--key={key}", "--json", stdout=out)
    return sorted(job["name"] for job in json.loads(out.getvalue()))


def shown(rows, depth=1):
    """Return (depth, name) of each row of a div and of those in it."""
    for row in rows:
        yield depth, row.info.name
        yield from shown(row.members, depth + 1)


def put(store, group, *ids):
    """Do what no call of ours does: a foreign program may put anything into a group."""
    store.connection.redis.sadd(store.keys.members(group.id), *ids)


def expire(store, id):
    """Let a key go as if its time had come."""
    assert store.connection.redis.delete(store.keys.info(id)) == 1


class TestCycles:
    @pytest.fixture(params=["itself", "its child", "the root"])
    def group(self, request, store, root):
        """A group that holds a job and what also holds it."""
        group = Group.create(root, "group")
        inner = Group.create(group, "inner")
        job_in(store, inner, "job")
        held = {"itself": (inner, inner), "its child": (inner, group), "the root": (group, root)}
        holder, member = held[request.param]
        put(store, holder, member.id)
        return group

    def test_each_node_is_met_once(self, group, root, ada):
        assert sorted(names(root)) == ["ada", "group", "inner", "job"]
        assert names(group)[0] == "group" and len(set(names(group))) == len(names(group))
        assert [job.name for job in group.jobs()] == ["job"]
        assert group.totals() == root.totals() == {"queued": 1}
        assert userjobs("ada") == userjobs(group.id) == ["job"]
        assert sorted(shown(build_status_div(ada).rows)) == [(1, "group"), (2, "inner"), (3, "job")]
        [job] = group.jobs()
        assert job.id in render(ada, "{% moi_jobs %}")

    def test_it_is_cancelled_once(self, group):
        assert group.cancel() == 1
        assert group.cancel() == 0
        assert group.totals() == {"cancelled": 1}

    def test_it_can_be_removed_and_takes_its_holder_not_along(self, group, store, root):
        group.delete()
        assert names(root) == ["ada"]
        assert everything(store) == {"user-id-map", root.id, f"{root.id}:totals"}


class TestDepth:
    @pytest.fixture
    def groups(self, root):
        groups = [root]
        for level in range(DEEP):
            groups.append(Group.create(groups[-1], f"level {level}"))
        return groups

    def test_a_deep_tree_is_as_good_as_a_flat_one(self, groups, store, root, ada):
        job = job_in(store, groups[-1], "deepest")
        assert names(root) == ["ada", *(f"level {n}" for n in range(DEEP)), "deepest"]
        assert root.totals() == store.tree.totals(root.id) == {"queued": 1}
        assert userjobs("ada") == ["deepest"]
        finish(store, job)
        assert root.totals() == store.tree.totals(groups[DEEP // 2].id) == {"success": 1}
        other = job_in(store, groups[-1], "other")
        assert root.cancel() == 1
        assert Job.get(other.id).state is State.CANCELLED
        groups[1].delete()
        assert names(root) == ["ada"]
        assert everything(store) == {"user-id-map", root.id, f"{root.id}:totals"}

    def test_a_page_shows_all_of_it_though_not_as_deep(self, groups, store, ada):
        job = job_in(store, groups[-1], "deepest")
        rows = list(shown(build_status_div(ada, limit=1000).rows))
        assert len(rows) == DEEP + 1
        assert max(depth for depth, _ in rows) == MAX_DEPTH + 1
        assert job.id in render(ada, "{% moi_jobs limit=1000 %}")


class TestMissingParents:
    def test_a_job_whose_group_has_expired_is_still_a_job(self, store, root, ada):
        group = Group.create(root, "group")
        job = Job(job_in(store, group, "job"))
        expire(store, group.id)
        assert names(root) == ["ada"]
        assert userjobs("ada") == []
        assert list(shown(build_status_div(ada).rows)) == []
        with pytest.raises(GroupNotFound):
            Group.get(group.id)
        assert job.refresh().name == "job"
        assert job.cancel() is True
        job.remove()
        with pytest.raises(JobNotFound):
            job.refresh()

    def test_a_group_whose_parent_has_expired_is_still_a_group(self, store, root, ada):
        outer = Group.create(root, "outer")
        inner = Group.create(outer, "inner")
        job_in(store, inner, "job")
        expire(store, outer.id)
        assert names(inner) == ["inner", "job"]
        assert userjobs(inner.id) == ["job"]
        assert list(shown(build_status_div(ada, inner).rows)) == [(1, "job")]
        assert inner.cancel() == 1
        inner.delete()
        with pytest.raises(GroupNotFound):
            Group.get(inner.id)

    def test_nothing_new_comes_into_a_group_that_is_gone(self, store, root):
        group = Group.create(root, "group")
        expire(store, group.id)
        with pytest.raises(GroupNotFound):
            store.jobs.create(new_job(group.info))
        with pytest.raises(GroupNotFound):
            Group.create(group, "inner")

    def test_a_job_of_moi_0_2_without_a_path_is_shown_where_it_is_put(self, store, root, ada):
        old = {"id": "old", "name": "old", "type": "job", "parent": "nobody", "status": "Queued"}
        store.connection.redis.set(store.keys.info("old"), json.dumps(old))
        put(store, root, "old")
        assert names(root) == ["ada", "old"]
        assert root.totals() == {"queued": 1}
        assert userjobs("ada") == ["old"]
        assert list(shown(build_status_div(ada).rows)) == [(1, "old")]
        # Its parent is elsewhere.
        assert root.cancel() == 0
        root.remove("old")
        assert names(root) == ["ada"]
        assert Job.get("old").cancel() is True


class TestSeveralGroups:
    @pytest.fixture
    def two(self, store, root):
        """A job whose parent is one group, and which is linked in another."""
        parent, other = Group.create(root, "parent"), Group.create(root, "other")
        job = Job(job_in(store, parent, "job"))
        other.add(job)
        return parent, other, job

    def test_it_is_in_both_and_counts_once(self, two, store, root, ada):
        parent, other, _ = two
        assert names(parent) == ["parent", "job"]
        assert names(other) == ["other", "job"]
        assert sorted(names(root)) == ["ada", "job", "other", "parent"]
        assert root.totals() == {"queued": 1}
        assert userjobs("ada") == ["job"]
        assert sorted(shown(build_status_div(ada).rows)) == [
            (1, "other"),
            (1, "parent"),
            (2, "job"),
        ]

    def test_the_group_it_is_linked_in_leaves_it_alone(self, two, root):
        _, other, job = two
        assert other.cancel() == 0
        other.delete()
        assert job.refresh().state is State.QUEUED
        assert sorted(names(root)) == ["ada", "job", "parent"]

    def test_it_goes_with_its_parent(self, two, store, root):
        parent, other, job = two
        parent.delete()
        with pytest.raises(JobNotFound):
            job.refresh()
        assert names(other) == ["other"]
        assert store.tree.members(other.id) == set()

    def test_it_may_leave_its_parent_and_be_where_it_is_linked(self, two, root):
        parent, other, job = two
        parent.remove(job)
        assert names(parent) == ["parent"]
        assert names(other) == ["other", "job"]
        assert userjobs("ada") == ["job"]

    def test_a_group_is_linked_with_all_that_is_in_it(self, store, root, ada):
        theirs = Group.create("nobody", "theirs")
        job = job_in(store, theirs, "job")
        mine = Group.create(root, "mine")
        mine.add(theirs)
        assert names(root) == ["ada", "mine", "theirs", "job"]
        assert root.cancel() == 0
        mine.delete()
        assert store.jobs.get(job.id) == job
        assert names(theirs) == ["theirs", "job"]


class TestExpiredChildren:
    def test_they_are_forgotten(self, store, root, ada):
        kept, gone = (job_in(store, root, name) for name in ("kept", "gone"))
        expire(store, gone.id)
        assert names(root) == ["ada", "kept"]
        assert store.tree.members(root.id) == {kept.id}
        assert root.totals() == {"queued": 1}
        assert userjobs("ada") == ["kept"]
        assert list(shown(build_status_div(ada).rows)) == [(1, "kept")]

    def test_they_do_not_keep_a_group_from_going(self, store, root):
        group = Group.create(root, "group")
        expire(store, job_in(store, group).id)
        assert group.cancel() == 0
        group.delete()
        # The indices forget what has expired in their own time.
        indices = {"jobs", "jobs:queued", f"{root.id}:all"}
        assert everything(store) == {"user-id-map", root.id, f"{root.id}:totals"} | indices

    def test_a_tree_that_has_expired_is_none(self, store, root, ada):
        job_in(store, root)
        expire(store, root.id)
        with pytest.raises(GroupNotFound):
            root.delete()
        assert root.cancel() == 0
        assert list(root.traverse()) == root.jobs() == []
        # The user comes back to an empty one, under the same id.
        assert Group.of(ada).id == root.id
        assert build_status_div(ada).problem == ""
