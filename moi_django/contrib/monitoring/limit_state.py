"""The limits that claims look at: how many jobs each allows, run under it and wait for it."""

from dataclasses import dataclass

from moi_django.site_store import get_store
from moi_django.store import policy
from moi_django.validation import number_of, text_of


@dataclass(frozen=True, slots=True)
class LimitState:
    """A named limit as it is now."""

    name: str
    allowed: int
    running: int
    # How many jobs wait in queues that need it.
    waiting: int

    @property
    def is_full(self) -> bool:
        """True when no further job of it may begin."""
        return self.running >= self.allowed


@dataclass(frozen=True, slots=True)
class Limits:
    """All that bounds how many jobs run at once."""

    named: list[LimitState]
    # How many jobs of one owner may run at once in a context; None for any number.
    each_owner: int | None

    def __bool__(self) -> bool:
        return bool(self.named) or self.each_owner is not None


def get_limits() -> Limits:
    """Return the limits there are, by their names."""
    store, prefix = get_store(), policy.limit_slot("")
    fields = store.policy.read()
    names = sorted(name.removeprefix(prefix) for name in fields if name.startswith(prefix))
    queues, each = store.queue.names(), fields.get(policy.EACH_OWNER)
    with store.connection.translated_errors():
        pipeline = store.connection.redis.pipeline(transaction=False)
        for name in names:
            pipeline.scard(store.keys.slot(policy.limit_slot(name)))
        for queue in queues:
            pipeline.hgetall(store.keys.limits(queue))
        answers = pipeline.execute()
    waiting = [
        {text_of(name): int(number_of(count)) for name, count in raw.items()}
        for raw in answers[len(names) :]
    ]
    named = [
        LimitState(
            name=name,
            allowed=_number(fields[policy.limit_slot(name)]),
            running=int(running),
            waiting=sum(counts.get(name, 0) for counts in waiting),
        )
        for name, running in zip(names, answers, strict=False)
    ]
    return Limits(named, None if each is None else _number(each))


def _number(text: str) -> int:
    return int(number_of(text.encode()))
