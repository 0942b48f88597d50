"""Tell of a group once, when none of its jobs is unfinished any more."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from moi_django.contrib.notify.collector import message_key
from moi_django.contrib.notify.facts import group_facts
from moi_django.contrib.notify.models import Message, Stage
from moi_django.exceptions import StoreUnavailable
from moi_django.models import UNFINISHED
from moi_django.site_store import get_store

# Seconds for which nothing has ended: another job may follow on the one before.
GROUP_PAUSE = 5.0
# How many groups are looked at in one round, and jobs told of at once.
MAX_GROUPS, MAX_JOBS = 200, 50_000


def close_groups() -> None:
    """Let messages of groups go whose jobs have all ended. Raises StoreUnavailable."""
    held = Message._default_manager.filter(stage=Stage.HELD)
    until = timezone.now() - timedelta(seconds=GROUP_PAUSE)
    quiet = held.values("group").annotate(last=Max("created_at")).filter(last__lte=until)
    for group in list(quiet.order_by("last").values_list("group", flat=True)[:MAX_GROUPS]):
        totals = _totals(group)
        if not any(totals.get(state) for state in UNFINISHED):
            _close(group, totals)


def _totals(group: str) -> dict[str, int]:
    """Return the totals of a group; of what is none of ours, nothing."""
    try:
        return get_store().tree.totals(group)
    except StoreUnavailable as error:
        if "WRONGTYPE" not in str(error):
            raise
        return {}  # it would keep all others from being told


def _close(group: str, totals: dict[str, int]) -> None:
    held = Message._default_manager.filter(stage=Stage.HELD, group=group)
    [info] = get_store().jobs.get_many([group])
    targets = held.order_by().values_list("channel", "target").distinct()
    for channel, target in list(targets):
        rows = held.filter(channel=channel, target=target).order_by("pk")
        found = list(rows.values_list("pk", "facts")[:MAX_JOBS])
        with transaction.atomic():
            _merge(
                rows,
                [pk for pk, _ in found],
                group_facts(info, group, totals, [facts for _, facts in found]),
            )


def _merge(rows: Any, keys: list[int], facts: dict[str, Any]) -> None:
    """Make one message of several; a single job is told by itself."""
    first, *others = _by_hundreds(keys)
    one = rows.filter(pk=keys[0]).get()
    is_wanted = facts["seconds"] >= one.min_seconds
    if len(keys) == 1:
        rows.filter(pk=one.pk).update(stage=Stage.DUE if is_wanted else Stage.MERGED)
        return
    for chunk in (first, *others):
        rows.filter(pk__in=chunk).update(stage=Stage.MERGED)
    if is_wanted:
        one.pk, one.stage, one.facts = None, Stage.DUE, facts
        one.key = message_key(facts["id"], one, str(keys[-1]))
        one.due_at = timezone.now()
        one.save(force_insert=True)


def _by_hundreds(keys: list[int]) -> Iterable[list[int]]:
    return [keys[start : start + 500] for start in range(0, len(keys), 500)]
