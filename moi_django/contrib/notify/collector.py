"""Note what is to be sent of jobs that have ended: the consumer of events."""

import hashlib
import logging
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from moi_django.contrib.events import EventKind, JobEvent
from moi_django.contrib.events.rows import write_rows
from moi_django.contrib.notify.facts import job_facts
from moi_django.contrib.notify.models import Message, Stage
from moi_django.contrib.notify.recipients import Recipient, find_recipients
from moi_django.models import Info
from moi_django.site_store import get_store

logger = logging.getLogger(__name__)


def collect(events: Sequence[JobEvent]) -> None:
    """Note whom to tell of the ends among some events; what is noted already is left as it is.

    An error of the database lets all of it be done again.
    """
    ended = [event.info for event in events if event.kind is EventKind.FINISHED]
    found = [pair for pair in find_recipients(ended) if _is_long_enough(*pair)] if ended else []
    names = _group_names({group_of(info) for info, _ in found} - {""})
    messages = [_message(info, recipient, names) for info, recipient in found]
    write_rows(_insert, messages, _refuse)


def _insert(messages: Sequence[Message]) -> None:
    with transaction.atomic():
        Message._default_manager.bulk_create(messages, ignore_conflicts=True)


def _refuse(message: Message) -> None:
    logger.exception("Nobody is told of job %s", message.facts["id"])


def group_of(info: Info) -> str:
    """Return the id of the group with which a job is told: the outermost but its owner's root."""
    return info.ancestors[1] if len(info.ancestors) > 1 else ""


def _group_names(ids: set[str]) -> dict[str, str]:
    """Return the names of those groups that are still there: they may be gone at the end."""
    infos = get_store().jobs.get_many(sorted(ids))
    return {info.id: info.name for info in infos if info is not None}


def message_key(id: str, recipient: Recipient | Message, more: str = "") -> str:
    """Return what tells messages apart, such as may be heard of twice."""
    parts = (id, recipient.channel, recipient.target, more)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _is_long_enough(info: Info, recipient: Recipient) -> bool:
    """Tell whether a job took as long as it is to; of those in a group, all together have to."""
    return bool(group_of(info)) or job_facts(info)["seconds"] >= recipient.min_seconds


def _message(info: Info, recipient: Recipient, names: dict[str, str]) -> Message:
    group = group_of(info)
    return Message(
        key=message_key(info.id, recipient),
        channel=recipient.channel,
        target=recipient.target,
        user=recipient.user,
        language=recipient.language,
        facts=job_facts(info, names.get(group, "")),
        group=group,
        min_seconds=recipient.min_seconds,
        stage=Stage.HELD if group else Stage.DUE,
        due_at=timezone.now(),
    )
