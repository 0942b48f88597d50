"""A process that submits many jobs keeps nothing of them: `bench/growth.py` shows its memory."""

from types import SimpleNamespace

import pytest

from moi_django import Group, Options, ctx_default, submit
from moi_django.cluster import connections, dispatch
from moi_django.engine.pickling import PYTHON_VERSION
from tests.helpers.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
JOBS, SOME = 2000, 10


def kept(client):
    """Return how much ipyparallel's client keeps of what, besides what it always has."""
    names = ("_futures", "_output_futures", "results", "metadata", "outstanding")
    return {name: size for name in names if (size := len(getattr(client, name))) > SOME}


def test_nothing_is_kept_of_jobs_that_have_ended(cluster, store):
    group = Group.create("no-user", "many")
    quick = Options(process="one for all")
    for number in range(JOBS):
        submit(ctx_default, group, "a job", None, abs, -number, options=quick)
    wait_for(lambda: store.tree.totals(group.id) == {"success": JOBS})
    connection = connections.get_connection(ctx_default)
    ours = connection._client._client
    wait_for(lambda: not kept(ours), "an empty client")
    assert len(ours.history) <= 1000
    assert sum(map(len, ours._outstanding_dict.values())) == 0
    assert len(ours.session.digest_history) <= ours.session.digest_history_size
    wait_for(lambda: connection._callbacks._work_queue.qsize() == 0)


def test_nothing_is_kept_of_what_the_reconciler_asks(cluster, store):
    connection = connections.get_connection(ctx_default)
    for number in range(100):
        assert len(connection.engine_ids()) == 2
        dispatch.call_worker(f"default:{PYTHON_VERSION}", f"call:{number}")
    wait_for(lambda: not kept(connection._client._client), "an empty client")


def test_nothing_is_kept_of_calls_that_came_to_nothing(cluster, store, caplog):
    connection = connections.get_connection(ctx_default)
    for number in range(100):
        # No WorkSpec: the engine fails before there is a job.
        connection.call_worker(SimpleNamespace(), "default:3", str(number), None, *[fail] * 2)
    wait_for(lambda: caplog.text.count("has no attribute 'store'") >= 100, "an error of each")
    wait_for(lambda: not kept(connection._client._client), "an empty client")
    wait_for(lambda: connection._callbacks._work_queue.qsize() == 0)


def fail():
    raise AssertionError("neither is there more nor has an engine died")
