"""Let Redis know which limits the settings name, so that claims look at them."""

import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from django.utils.module_loading import import_string

from moi_django import owners
from moi_django.conf import LimitHook, conf
from moi_django.exceptions import InvalidJob
from moi_django.models import Info
from moi_django.site_store import get_store
from moi_django.store import Store, policy
from moi_django.store.queue import split_queue

# Seconds for which is believed what MOI["OWNER_LIMIT"] has said of an owner.
OWNER_LIMIT_TTL = 60.0


def publish_limits() -> None:
    """Let Redis have what the settings say of all owners; done again and again by reconcilers."""
    wanted, present = _fields_of_settings(), get_store().policy.read()
    ours = [field for field in present if field in (policy.FAIR, policy.EACH_OWNER)]
    ours += [field for field in present if field.startswith(policy.limit_slot(""))]
    if _owner_hook() is None:
        ours += [field for field in present if field.startswith(f"{policy.EACH_OWNER}:")]
    stale = [field for field in ours if field not in wanted]
    changed = {name: each for name, each in wanted.items() if present.get(name) != str(each)}
    if stale or changed:
        get_store().policy.update({**dict.fromkeys(stale), **changed})


def publish_limits_for(info: Info) -> None:
    """Let Redis have the limits that a new job is to wait for, unless this process has done so.

    Raises InvalidJob when MOI["OWNER_LIMIT"] says something else than a number or None.
    """
    _publish_once(get_store(), tuple(sorted(_fields_of_settings().items())))
    _publish_owner_limits(info.context or "", [info.owner])


def publish_limits_of_held(queue: str) -> None:
    """Do so again for owners who run as many as are allowed, which may be more by now."""
    _publish_owner_limits(split_queue(queue)[0], get_store().queue.held_owners(queue))


def _publish_owner_limits(context: str, roots: Iterable[str]) -> None:
    if (call := _owner_hook()) is not None:
        period = int(time.monotonic() / OWNER_LIMIT_TTL)
        for root in roots:
            _publish_owner_limit(get_store(), call, context, root, period)


def _owner_hook() -> LimitHook | None:
    limit = conf.OWNER_LIMIT
    if limit is None or isinstance(limit, int):
        return None
    return import_string(limit) if isinstance(limit, str) else limit


def _fields_of_settings() -> dict[str, str | int]:
    fields: dict[str, str | int] = {
        policy.limit_slot(name): number for name, number in conf.LIMITS.items()
    }
    if not conf.FAIR:
        fields[policy.FAIR] = "0"
    if isinstance(conf.OWNER_LIMIT, int):
        fields[policy.EACH_OWNER] = conf.OWNER_LIMIT
    return fields


@lru_cache(maxsize=4)
def _publish_once(store: Store, fields: tuple[Any, ...]) -> None:
    publish_limits()


@lru_cache(maxsize=10_000)
def _publish_owner_limit(
    store: Store, call: LimitHook, context: str, root: str, period: int
) -> None:
    name = owners.display_names([root])[root]
    limit = call(name, context)  # type: ignore[operator] # a dotted path is imported by now
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise InvalidJob(
            f'MOI["OWNER_LIMIT"] gave {limit!r} for {name!r}: return a number or None.'
        )
    store.policy.update({policy.owner_slot(context, root): limit})
