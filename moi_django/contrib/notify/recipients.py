"""Decide who is told of the end of a job, and where."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import check_for_language

from moi_django import owners
from moi_django.contrib.notify.conf import hook, setting
from moi_django.contrib.notify.models import Preference, When
from moi_django.contrib.notify.wishes import Wish, is_url, parse_wish
from moi_django.models import BAR_PARTS, Info

logger = logging.getLogger(__name__)

EMAIL, WEBHOOK = "email", "webhook"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where something is sent."""

    channel: str
    target: str
    language: str = ""
    # The user of the site, where it is one.
    user: Any = None
    # What the job has to have taken.
    min_seconds: float = 0.0


def find_recipients(infos: Sequence[Info]) -> list[tuple[Info, Recipient]]:
    """Return who is told of jobs that have ended, each address once a job.

    Raises StoreUnavailable, or an error of the database.
    """
    users = owners.users_by_group({info.owner for info in infos})
    chosen = Preference._default_manager.in_bulk([user.pk for user in users.values()])
    found: dict[tuple[str, str, str], tuple[Info, Recipient]] = {}
    for info in infos:
        user = users.get(info.owner)
        preference = chosen.get(user.pk) if user is not None else None
        for recipient in _recipients_of(info, user, preference):
            found.setdefault((info.id, recipient.channel, recipient.target), (info, recipient))
    return list(found.values())


def _recipients_of(info: Info, user: Any, preference: Preference | None) -> Iterator[Recipient]:
    wish = parse_wish(info.notify)
    if user is not None and user.is_active and (address := address_of(user)):
        seconds = _min_seconds_for(info, wish, preference)
        if seconds is not None:
            yield Recipient(EMAIL, address, _language_of(user, info), user, seconds)
    for name, webhook in setting("WEBHOOKS").items():
        if _wants(webhook.get("when", When.NEVER), info):
            yield Recipient(WEBHOOK, name)
    if wish is not None and _wants(wish.when, info):
        yield from _named_recipients(wish, info.id)


def _named_recipients(wish: Wish, job: str) -> Iterator[Recipient]:
    for address in wish.addresses:
        if _is_address(address):
            yield Recipient(EMAIL, address)
        else:
            logger.warning("Job %s tells %r, which is no e-mail address", job, address)
    for webhook in wish.webhooks:
        if is_url(webhook) or webhook in setting("WEBHOOKS"):
            yield Recipient(WEBHOOK, webhook)
        else:
            logger.warning('Job %s tells %r, which is not in MOI_NOTIFY["WEBHOOKS"]', job, webhook)


def _min_seconds_for(info: Info, wish: Wish | None, preference: Preference | None) -> float | None:
    """Return what a job has to have taken for its owner to be told of it; None for never."""
    if wish is not None and wish.silences_owner:
        return None
    when = preference.when if preference else setting("WHEN")
    # Who has chosen to hear nothing hears nothing, whatever a job says.
    if preference is not None and when == When.NEVER:
        return None
    if wish is not None and wish.has_owner and _wants(wish.when, info):
        return 0.0
    if _wants(when, info):
        return float(preference.min_seconds if preference else setting("MIN_SECONDS"))
    return None


def _wants(when: str, info: Info) -> bool:
    return when == When.ALWAYS or (when == When.FAILURES and info.state in BAR_PARTS["failed"])


def address_of(user: Any) -> str:
    find = hook("ADDRESS")
    address = find(user) if find else getattr(user, user.get_email_field_name(), "")
    return address if _is_address(address) else ""


def _language_of(user: Any, info: Info) -> str:
    """Return what a hook says, else what was active where the job was submitted."""
    find = hook("LANGUAGE")
    found = (find(user) if find else None) or info.language
    return found if found and check_for_language(found) else settings.LANGUAGE_CODE


def _is_address(value: Any) -> bool:
    try:
        validate_email(value)
    except ValidationError:
        return False
    return True
