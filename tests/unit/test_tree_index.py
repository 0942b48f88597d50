"""What viewers hear of a tree that changes."""

import json
import random

import pytest

from moi_django.bridge.tree_index import TreeIndex
from moi_django.info_json import info_from_json
from moi_django.models import GROUP, JOB, Info


def node(id, version=1, type=JOB, **fields):
    return Info(id=id, name=id, type=type, pubsub=f"{id}:pubsub", version=version, **fields)


class Tree:
    """What Redis would hold, put into an index as a bridge does."""

    def __init__(self):
        self.infos, self.members = {}, {}

    def group(self, id, *members):
        self.infos[id] = node(id, type=GROUP)
        self.members[id] = set(members)

    def load(self, index, ids):
        ids, read = set(ids), set()
        while ids := {id for id in ids if id in index.nodes}:
            read |= ids
            for id in ids:
                index.put_node(id, self.infos.get(id))
            groups = [id for id in ids if id in self.infos and self.infos[id].is_group]
            ids = set().union(*(index.put_members(id, self.members[id]) for id in groups))
        index.mark_loaded(read)

    def reached(self, root):
        met, stack = set(), [root]
        while stack:
            id = stack.pop()
            if id in self.infos and id not in met:
                met.add(id)
                stack += self.members.get(id, ())
        return met


@pytest.fixture
def tree():
    tree = Tree()
    tree.group("root", "group", "a")
    tree.group("group", "b")
    tree.infos |= {id: node(id) for id in "ab"}
    return tree


@pytest.fixture
def index(tree):
    index = TreeIndex()
    index.add_root("root")
    tree.load(index, ["root"])
    return index


def told(index, root="root"):
    return [(verb, id) for verb, id, *_ in index.take_frames().get(root, [])]


def test_what_is_there_at_first_is_not_told(index):
    assert told(index) == []
    assert index.nodes.keys() == {"root", "group", "a", "b"}


def test_a_change_is_told_once(index, tree):
    index.put_node("b", node("b", 2))
    index.put_node("b", node("b", 2))
    assert told(index) == [("update", "b")]


def test_changes_of_one_job_are_merged_to_the_latest(index):
    for version in (2, 3, 4):
        index.put_node("b", node("b", version))
    [(verb, id, raw, _)] = index.take_frames()["root"]
    assert (verb, id, info_from_json(raw).version) == ("update", "b", 4)


def test_a_new_job_is_told_as_new_even_when_it_has_changed_since(index, tree):
    tree.members["group"].add("c")
    tree.infos["c"] = node("c")
    tree.load(index, ["group"])
    index.put_node("c", node("c", 2))
    assert told(index) == [("add", "c")]


def test_a_group_that_goes_takes_all_below_along(index, tree):
    tree.members["root"].remove("group")
    tree.load(index, ["root"])
    assert sorted(told(index)) == [("remove", "b"), ("remove", "group")]
    assert index.nodes.keys() == {"root", "a"}


def test_a_job_in_two_groups_is_removed_with_the_last(index, tree):
    tree.members["root"].add("b")
    tree.load(index, ["root"])
    index.take_frames()
    tree.members["group"].remove("b")
    tree.load(index, ["group"])
    assert told(index) == []
    tree.members["root"].remove("b")
    tree.load(index, ["root"])
    assert told(index) == [("remove", "b")]


def test_each_watched_group_hears_of_its_own(index, tree):
    index.add_root("group")
    tree.load(index, ["group"])
    index.take_frames()
    index.put_node("a", node("a", 2))
    assert told(index, "group") == []
    index.put_node("b", node("b", 2))
    assert told(index, "group") == [("update", "b")]


def test_nothing_is_kept_of_what_nobody_watches(index):
    index.remove_root("root")
    assert index.nodes == {}


def test_asked_for_it_is_told_again(index, tree):
    index.mark_requested("b")
    index.put_node("b", tree.infos["b"])
    assert told(index) == [("get", "b")]
    assert index.is_below("root", "b")
    assert not index.is_below("group", "a")


def test_a_cycle_does_no_harm(index, tree):
    tree.members["group"].add("root")
    tree.load(index, ["group"])
    tree.members["root"].remove("group")
    tree.load(index, ["root"])
    assert {id for verb, id in told(index) if verb == "remove"} >= {"group", "b"}


GROUPS, JOBS = ["root", "g1", "g2", "g3"], [f"j{n}" for n in range(6)]


def change(tree, chance, version):
    """Add, take out or remove something at random; return what has to be read again."""
    id, holder = chance.choice(GROUPS[1:] + JOBS), chance.choice(GROUPS)
    if holder not in tree.infos:
        tree.group(holder)
    if chance.random() < 0.5:
        tree.infos[id] = node(id, version, type=GROUP if id in GROUPS else JOB)
        if id in GROUPS:
            tree.members.setdefault(id, set())
        tree.members[holder].add(id)
    elif chance.random() < 0.5:
        tree.members[holder].discard(id)
    else:
        tree.infos.pop(id, None)
        tree.members.pop(id, None)
        for members in tree.members.values():
            members.discard(id)
    return ["root", holder, id]


@pytest.mark.parametrize("seed", range(100))
def test_who_follows_the_frames_ends_with_what_is_there(seed):
    """Let a tree change, cycles and all; who only hears frames must hold what can be reached."""
    chance = random.Random(seed)
    tree, index, seen = Tree(), TreeIndex(), {}
    tree.group("root")
    index.add_root("root")
    tree.load(index, ["root"])
    for step in range(200):
        tree.load(index, change(tree, chance, version=step + 2))
        for verb, id, raw, _ in index.take_frames().get("root", []):
            if verb == "remove":
                seen.pop(id, None)
            else:
                seen[id] = info_from_json(raw).version
        seen.pop("root", None)
        there = tree.reached("root")
        assert seen == {id: tree.infos[id].version for id in there - {"root"}}
        assert index.nodes.keys() == there


def test_groups_are_told_before_what_is_in_them_and_the_older_before_the_newer(index, tree):
    """Whichever was read first."""
    tree.infos |= {
        id: node(id, type=type, path=path, date_created=f"2026-01-0{day}")
        for id, type, path, day in (
            ("newer", JOB, "root:fresh:newer", 4),
            ("older", JOB, "root:fresh:older", 1),
            ("oldest", JOB, "root:oldest", 1),
            ("fresh", GROUP, "root:fresh", 3),
        )
    }
    tree.members["fresh"] = {"newer", "older"}
    index.put_members("root", {"group", "a", "fresh", "oldest"})
    index.put_members("fresh", tree.members["fresh"])
    for id in ("newer", "fresh", "older", "oldest"):
        index.put_node(id, tree.infos[id])
    told = [id for verb, id, *_ in index.take_frames()["root"]]
    assert told == ["oldest", "fresh", "older", "newer"]


def changes_of(index):
    """Return what is told of one node besides the whole."""
    [(verb, _, _, changes)] = index.take_frames()["root"]
    return verb, changes and json.loads(changes)


def test_of_an_update_is_told_what_has_changed(tree, index):
    index.put_node("a", node("a", 2, status="new"))
    assert changes_of(index) == ("update", {"id": "a", "since": 1, "version": 2, "status": "new"})
    counts = {"size": 7, "totals": {"queued": 7}}
    index.put_node("group", node("group", type=GROUP, **counts))
    assert changes_of(index) == ("count", {"id": "group", "since": 1, "version": 1, **counts})


def test_two_changes_in_a_tick_are_told_as_a_whole(tree, index):
    for version in (2, 3):
        index.put_node("a", node("a", version))
    assert changes_of(index) == ("update", "")


def test_around_a_result_all_is_told(tree, index):
    for version, result in enumerate([1, 2, None], 2):
        index.put_node("a", node("a", version, result=result))
        assert changes_of(index) == ("update", "")
    index.put_node("a", node("a", 5))
    assert changes_of(index) == ("update", {"id": "a", "since": 4, "version": 5})


def test_what_a_page_was_shown_newer_is_told_as_a_whole_once(tree, index):
    index.note_shown([node("a", 1), node("b", 2), node("unknown", 3)])
    index.put_node("a", node("a", 3))
    assert changes_of(index)[1] == {"id": "a", "since": 1, "version": 3}
    for version, changes in ((3, ""), (4, {"id": "b", "since": 3, "version": 4})):
        index.put_node("b", node("b", version))
        assert changes_of(index) == ("update", changes)
