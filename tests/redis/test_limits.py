"""What the settings say of limits is what claims look at, also after it was changed."""

import time
from itertools import count

import pytest

from moi_django import Group, Options, submit
from moi_django.cluster import limits
from moi_django.cluster.reconciler import Reconciler
from moi_django.exceptions import InvalidJob
from moi_django.store import policy
from tests.helpers.queues import QUEUE, claim_all, queued_job
from tests.helpers.records import new_group

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def next_minute(monkeypatch):
    """Let another one of the times begin for which it is believed what a function has said."""
    numbers = count(1)

    def begin():
        length = time.monotonic() / (next(numbers) + 0.5)
        monkeypatch.setattr(limits, "OWNER_LIMIT_TTL", length)

    begin()
    return begin


def test_they_are_published_by_who_submits_and_by_reconcilers(moi, store):
    moi.update(FAIR=False, LIMITS={"gpu": 1, "matlab": 5}, OWNER_LIMIT=3)
    submit("default", "ada", "a job", None, abs, 1, options=Options(limit="gpu"))
    assert store.policy.read() == {"fair": "0", "limit:gpu": "1", "limit:matlab": "5", "owner": "3"}
    store.policy.start(policy.paused("default"))
    moi.update(FAIR=True, LIMITS={"matlab": 6}, OWNER_LIMIT=None)
    Reconciler().reconcile()
    assert store.policy.read().keys() == {"limit:matlab", "paused:default"}


def test_an_unknown_limit_is_refused(moi):
    moi["LIMITS"] = {"gpu": 1}
    with pytest.raises(InvalidJob, match=r"""Unknown limit 'gpus': MOI\["LIMITS"\] has 'gpu'"""):
        submit("default", "ada", "a job", None, abs, 1, options=Options(limit="gpus"))


def test_a_function_is_asked_for_each_owner_about_once_a_minute(moi, store, next_minute):
    asked, allowed = [], {"ada": 1, "bob": None}

    def limit(owner, context):
        asked.append((owner, context))
        return allowed[owner]

    moi["OWNER_LIMIT"] = limit
    for owner in ("ada", "bob", "ada"):
        submit("default", owner, "a job", None, abs, 1)
    assert asked == [("ada", "default"), ("bob", "default")]
    slot = policy.owner_slot("default", Group.of("ada").id)
    assert store.policy.read() == {slot: "1"}
    next_minute()
    allowed["ada"] = 2
    submit("default", "ada", "a job", None, abs, 1)
    assert store.policy.read() == {slot: "2"}
    moi["OWNER_LIMIT"] = 7
    limits.publish_limits()
    assert store.policy.read() == {"owner": "7"}


def test_who_is_held_goes_on_when_more_is_allowed(moi, store, next_minute):
    allowed = [1]
    moi["CONTEXTS"] = {name: {"connection_file": "none.json"} for name in ("default", "lab")}
    moi["OWNER_LIMIT"] = lambda owner, context: allowed[0]
    root = store.users.enrol("ada", new_group)
    for _ in range(3):
        limits.publish_limits_for(queued_job(store, root))
    assert len(claim_all(store)) == 1
    allowed[0] = 2
    Reconciler().reconcile()
    assert claim_all(store) == []
    next_minute()
    limits.publish_limits_of_held(QUEUE)
    store.queue.review(QUEUE)
    assert len(claim_all(store)) == 1


@pytest.mark.parametrize("wrong", [-1, "many", 2.5])
def test_a_function_that_gives_no_number_is_named(moi, wrong):
    moi["OWNER_LIMIT"] = lambda owner, context: wrong
    with pytest.raises(InvalidJob, match=r"OWNER_LIMIT.* for 'ada': return a number or None"):
        submit("default", "ada", "a job", None, abs, 1)
