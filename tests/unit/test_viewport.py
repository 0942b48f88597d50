"""A page hears of what it shows and of nothing else."""

import random
from dataclasses import replace

import pytest

from moi_django.models import GROUP, JOB, Info
from moi_django.protocol.viewport import Viewport
from moi_django.store.tree_pages import TreePage


def info(id, parent="root", type=JOB, path=None, **fields):
    path = path or (f"root:{id}" if parent == "root" else f"root:{parent}:{id}")
    return Info(id=id, name=id, type=type, pubsub="", parent=parent, path=path, **fields)


ROOT = replace(info("root", type=GROUP, path="root", size=2), parent=None)


@pytest.fixture
def viewport():
    """One that shows a job and three of five members of a group."""
    viewport = Viewport("root", top=10, rows=3)
    infos = [ROOT, info("a"), info("g", type=GROUP, size=5)]
    infos += [info(f"m{number}", "g") for number in range(3)]
    viewport.apply_snapshot(TreePage(infos, {"root": 2, "g": 3}))
    assert viewport.take_unreported_counts() == {"g": 3}
    return viewport


def add(viewport, info):
    return viewport.accepts("add", info.id, info.to_wire())


def test_what_is_not_shown_does_not_matter(viewport):
    assert viewport.ignores("update", "m3")
    assert viewport.ignores("remove", "m4")
    assert not viewport.ignores("update", "m0")
    assert viewport.accepts("update", "m0", "")
    assert viewport.accepts("count", "g", "")
    assert not viewport.accepts("update", "m4", "")


def test_before_a_snapshot_all_may_matter():
    assert not Viewport("root", 1, 1).ignores("update", "anything")


def test_the_top_grows_and_a_group_shown_in_part_does_not(viewport):
    assert viewport.newest_first("root") and not viewport.newest_first("g")
    assert [add(viewport, info(f"b{number}")) for number in range(20)] == [True] * 20
    assert not add(viewport, info("m5", "g"))
    assert not add(viewport, info("hidden", "nowhere"))
    assert viewport.take_unreported_counts() == {"g": 3}


def test_a_new_group_is_filled_until_it_is_full(viewport):
    assert add(viewport, info("h", type=GROUP))
    assert [add(viewport, info(f"h{number}", "h")) for number in range(5)] == [True] * 3 + [
        False
    ] * 2
    assert viewport.take_unreported_counts() == {"h": 3}
    # What leaves it makes no room: members that are not shown come before any new one.
    assert viewport.accepts("remove", "h0", "")
    assert not add(viewport, info("h9", "h"))
    assert viewport.take_unreported_counts() == {"h": 2}


def test_a_group_that_is_no_root_grows_at_its_end_on_its_own_page():
    viewport = Viewport("root", top=4, rows=3)
    top = replace(ROOT, parent="up")
    viewport.apply_snapshot(TreePage([top, info("a"), info("b")], {"root": 2}))
    assert not viewport.newest_first("root")
    assert [add(viewport, info(f"c{number}")) for number in range(3)] == [True, True, False]
    assert viewport.take_unreported_counts() == {"root": 4}
    viewport.add_page("root", [info("c2")], is_last=True)
    assert viewport.take_unreported_counts() == {"root": 5}
    assert not add(viewport, info("c3"))
    assert viewport.take_unreported_counts() == {"root": 5}


def test_what_leaves_is_forgotten(viewport):
    assert viewport.accepts("remove", "m1", "")
    assert viewport.take_unreported_counts() == {"g": 2}
    assert viewport.ignores("update", "m1")
    assert not viewport.accepts("remove", "m1", "")


def test_what_is_linked_stands_at_the_top(viewport):
    assert add(viewport, info("v", "elsewhere", path="other:elsewhere:v"))
    assert viewport.shown_count("root") == 3


def test_more_can_be_shown_until_all_is(viewport):
    assert viewport.shows_group("g")
    assert not viewport.shows_group("a")
    viewport.add_page("g", [info("m3", "g"), info("i", "g", type=GROUP, size=9)], is_last=True)
    assert viewport.take_unreported_counts() == {"g": 5, "i": 0}
    assert viewport.requested == {"root": 10, "g": 5}
    assert "m3" in viewport
    viewport.accepts("remove", "m3", "")
    assert viewport.take_unreported_counts() == {}


@pytest.mark.parametrize("seed", range(50))
def test_the_count_it_tells_is_of_what_it_shows(seed):
    """Whatever comes and goes, the number it tells of a group is that of the rows a page has."""
    chance = random.Random(seed)
    viewport, rows = Viewport("root", 10, 3), {}
    viewport.apply_snapshot(TreePage([ROOT], {"root": 0}))
    groups = ["root"]
    for number in range(200):
        if rows and chance.random() < 0.3:
            id = chance.choice([*rows, "unknown"])
            assert viewport.accepts("remove", id, "") == (rows.pop(id, None) is not None)
            groups = [group for group in groups if group != id]
        else:
            group = chance.choice(groups)
            type = GROUP if chance.random() < 0.2 else JOB
            if add(viewport, info(f"n{number}", group, type=type)):
                rows[f"n{number}"] = group
                groups += [f"n{number}"] if type == GROUP else []
    for group in groups:
        assert viewport.shown_count(group) == list(rows.values()).count(group)
