"""What there was of jobs when a test failed, for whoever reads its report."""

from django.conf import settings

from moi_django.exceptions import MoiError
from moi_django.site_store import get_store

# How many jobs are told of at most: the newest.
MOST = 20


def describe_jobs() -> str:
    """Return a line for each of the newest jobs, and where the queues stand."""
    try:
        return "\n".join(_lines())
    except MoiError as error:
        return f"Redis does not tell: {error}"


def _lines():
    store = get_store()
    ids = store.connection.redis.zrevrange(store.keys.jobs, 0, MOST - 1)
    for info in store.jobs.get_many([id.decode("ascii", "replace") for id in ids]):
        if info is not None:
            text = f"{info.id} {info.state} attempt {info.attempt} on {info.engine}"
            yield f"{text}: {info.name!r}, {info.status!r}, {str(info.result)[:200]!r}"
    for name in store.queue.names():
        waiting = [attempt.member for attempt in store.queue.first_waiting(name, MOST)]
        yield f"queue {name}: workers {store.queue.workers(name)}, waiting {waiting}"
    yield f"running {store.queue.running()}, settings {settings.MOI}"
