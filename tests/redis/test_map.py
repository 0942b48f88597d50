"""A map without engines: the order of its results, and how a page shows it."""

from contextlib import nullcontext

import hypothesis.strategies as st
import pytest
from django.contrib.auth import get_user_model
from hypothesis import HealthCheck, given, settings

from moi_django import Group
from moi_django.cluster import payloads
from moi_django.conf import conf
from moi_django.engine import pickling
from moi_django.exceptions import InvalidJob, JobFailed
from moi_django.jobs import many
from moi_django.models import State
from moi_django.pages.status_div import build_status_div
from tests.helpers.records import finish

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 10


@given(st.lists(st.booleans(), max_size=12), st.randoms(use_true_random=False))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_results_are_in_the_order_of_the_items_however_they_end(moi, store, successes, random):
    """Also when some have failed, and were then run again."""
    group = Group.map(abs, range(len(successes)), owner="ada", name="a map")
    infos = [job.info for job in group.jobs()]
    order = [*range(len(infos))]
    random.shuffle(order)
    for place in order:
        state = State.SUCCESS if successes[place] else State.FAILED
        finish(store, infos[place], state, place)
    chunk, many.CHUNK_SIZE = many.CHUNK_SIZE, random.randint(1, 5)
    try:
        with nullcontext() if all(successes) else pytest.raises(JobFailed):
            assert group.results(SOON) == [*range(len(infos))]
        if not all(successes):
            again = group.retry()
            random.shuffle(again)
            for job in again:
                number = int(job.name.removeprefix("a map "))
                finish(store, job.info, State.SUCCESS, number - 1)
        assert group.results(SOON) == [*range(len(infos))]
        assert [result for _, result in group.iter_results(SOON)] == [*range(len(infos))]
    finally:
        many.CHUNK_SIZE = chunk
        group.delete()


def test_ten_thousand_are_one_row_until_it_is_opened(moi, store):
    user = get_user_model().objects.create_user("ada")
    group = Group.map(abs, range(10_000), owner=user, name="a map")
    dates = [info.date_created for info in store.tree.subtree(group.id)[1:]]
    assert len(set(dates)) == 10_000 and dates == sorted(dates)
    [row] = build_status_div(user).rows
    assert (row.info.id, row.is_closed, row.jobs) == (group.id, True, 10_000)
    assert (len(row.members), row.left) == (conf.PAGE_ROWS, 10_000 - conf.PAGE_ROWS)
    assert store.queue.waiting_count("default") == 10_000


def test_options_that_are_none_are_refused(moi):
    with pytest.raises(InvalidJob, match=r"give moi_django\.Options"):
        Group.map(abs, [1], owner="ada", name="a map", options={"retries": 1})


def test_the_function_is_pickled_once_and_each_item_by_itself(moi, store):
    group = Group.map(pow, [[1], [2]], owner="ada", name="a map", mod=7)
    infos = [job.info for job in group.jobs()]
    calls = [payloads.verify_payload(info, store.jobs.payload(info.id)) for info in infos]
    assert [pickling.unpickle_call(each.call) for each in calls] == [
        (pow, ([number],), {"mod": 7}) for number in (1, 2)
    ]
    assert {each.options.process for each in calls} == {group.id}
