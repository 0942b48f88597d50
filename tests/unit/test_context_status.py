"""What is made of what launchers, controllers and jobs say of the engines of a context."""

from moi_django.contrib.clusters.context_status import EngineCondition, join_engines
from moi_django.contrib.clusters.scaling import choose
from moi_django.contrib.clusters.slots import Slot, SlotListing, SlotState, leaves_before, slot_of
from moi_django.models import Info, State

RUNNING = SlotState.RUNNING


def job(engine):
    """Return a job that runs on an engine."""
    return Info("a-job", "x", "job", "channel", state=State.RUNNING, engine=engine)


def conditions(*slots, ids=(), jobs=(), reported=None, problems=()):
    """Return the condition of each engine, by its slot or else its id."""
    job_of = {id: job(id) for id in jobs}
    listing = SlotListing(list(slots), list(problems))
    found = join_engines(listing, set(ids), job_of, reported or {})
    return {each.slot.id if each.slot else each.id: each.condition for each in found}


def test_an_engine_is_what_its_launcher_and_its_controller_say_together():
    found = conditions(
        Slot("5_1", SlotState.PENDING, "Resources"),
        Slot("5_2", RUNNING, age=3.0),
        Slot("5_3", RUNNING, age=300.0),
        Slot("5_4", RUNNING, age=300.0),
        Slot("5_5", RUNNING, age=300.0),
        Slot("5_6", SlotState.ENDING, age=300.0),
        ids={"aaaaaaaa-5_3", "bbbbbbbb-5_4", "cccccccc-4_1"},
        jobs={"bbbbbbbb-5_4"},
    )
    assert found == {
        "5_1": EngineCondition.PENDING,
        "5_2": EngineCondition.STARTING,
        "5_3": EngineCondition.IDLE,
        "5_4": EngineCondition.BUSY,
        "5_5": EngineCondition.CUT_OFF,
        "5_6": EngineCondition.LEAVING,
        "cccccccc-4_1": EngineCondition.GONE,
    }


def test_one_that_its_controller_does_not_have_leaves_while_it_works_or_has_just_said_something():
    slots = [Slot(f"5_{n}", RUNNING, age=20.0) for n in (1, 2, 3)]
    found = conditions(
        *slots,
        jobs={"aaaaaaaa-5_1"},
        reported={"bbbbbbbb-5_2": True, "cccccccc-5_3": False},
    )
    assert found == {
        "5_1": EngineCondition.LEAVING,
        "5_2": EngineCondition.LEAVING,
        "5_3": EngineCondition.CUT_OFF,
    }


def test_nothing_is_gone_while_a_batch_system_does_not_answer():
    assert conditions(ids={"cccccccc-4_1"}, problems=["squeue: no"]) == {}


def test_an_engine_whose_host_does_not_answer_is_not_gone_and_those_of_others_are():
    listing = SlotListing([Slot("7@a", RUNNING, host="a", age=9.0)], silent={"b": "b: no route"})
    ids = {"aaaaaaaa-7@a", "bbbbbbbb-8@a", "cccccccc-7@b", "dddddddd-8@b"}
    jobs = {"dddddddd-8@b": job("dddddddd-8@b")}
    found = join_engines(listing, ids, jobs, {})
    assert [(each.id, each.condition) for each in found] == [
        ("aaaaaaaa-7@a", EngineCondition.IDLE),
        ("cccccccc-7@b", EngineCondition.IDLE),
        ("bbbbbbbb-8@a", EngineCondition.GONE),
        ("dddddddd-8@b", EngineCondition.BUSY),
    ]
    assert [each.slot.host for each in found if each.slot and each.slot.reason] == ["b", "b"]


def test_what_costs_least_goes_first_and_what_is_starting_is_waited_for():
    listing = SlotListing(
        [
            *(Slot("1", RUNNING, age=1.0), Slot("2", RUNNING), Slot("3", RUNNING)),
            *(Slot("4", SlotState.PENDING), Slot("5", RUNNING)),
        ]
    )
    jobs = {"aaaaaaaa-2": job("2")}
    ids = {"aaaaaaaa-2", "bbbbbbbb-3", "cccccccc-5"}
    engines = join_engines(listing, ids, jobs, {})
    chosen = [
        [each.slot.id for each in choose(engines, count) if each.slot] for count in (5, 4, 2, 0)
    ]
    assert chosen == [[], ["4"], ["4", "3", "5"], ["4", "3", "5", "2"]]


def test_the_slot_stands_in_the_id_of_an_engine():
    assert slot_of("1a2b3c4d-12_7") == "12_7"
    assert slot_of("1a2b3c4d-0/4711@host-with-hyphen") == "0/4711@host-with-hyphen"


def test_an_engine_leaves_before_its_time_is_over_and_works_most_of_it():
    assert [leaves_before(seconds) for seconds in (60, 600, 36_000, 864_000)] == [
        30,
        60,
        3600,
        3600,
    ]
