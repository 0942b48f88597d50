"""Let Redis know which limits the settings name, so that claims look at them."""

import time
from functools import lru_cache
from typing import Any

from django.utils.module_loading import import_string

from moi_django import owners
from moi_django.conf import LimitHook, conf
from moi_django.exceptions import InvalidJob
from moi_django.models import Info
from moi_django.site_store import get_store
from moi_django.store import Store, policy

# Seconds for which is believed what MOI["OWNER_LIMIT"] has said of an owner.
OWNER_LIMIT_TTL = 60.0


def publish_limits() -> None:
    """Let Redis have what the settings say of all owners; done again and again by reconcilers."""
    wanted, present = _fields_of_settings(), get_store().policy.read()
    # What was said of single owners holds as long as somebody is asked about them.
    asks = conf.OWNER_LIMIT is not None and not isinstance(conf.OWNER_LIMIT, int)
    stale = [
        field
        for field in present
        if field not in wanted
        and (policy.is_of_settings(field) or (policy.is_of_owner(field) and not asks))
    ]
    changed = {name: each for name, each in wanted.items() if present.get(name) != str(each)}
    if stale or changed:
        get_store().policy.update({**dict.fromkeys(stale), **changed})


def publish_limits_for(info: Info) -> None:
    """Let Redis have the limits that a new job is to wait for, unless this process has done so.

    Raises InvalidJob when MOI["OWNER_LIMIT"] says something else than a number or None.
    """
    _publish_once(get_store(), tuple(sorted(_fields_of_settings().items())))
    limit = conf.OWNER_LIMIT
    if limit is not None and not isinstance(limit, int):
        call = import_string(limit) if isinstance(limit, str) else limit
        period = int(time.monotonic() / OWNER_LIMIT_TTL)
        _publish_owner_limit(get_store(), call, info.context or "", info.owner, period)


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
