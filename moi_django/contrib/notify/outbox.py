"""Send what is due, again after a pause when that fails; forget what was sent long ago."""

import logging
import time
from datetime import timedelta
from typing import Any

from django.db.models import F
from django.utils import timezone

from moi_django.contrib.notify import mail, webhook
from moi_django.contrib.notify.conf import setting
from moi_django.contrib.notify.group_ends import close_groups
from moi_django.contrib.notify.models import Message, Stage
from moi_django.contrib.notify.recipients import EMAIL
from moi_django.contrib.notify.safe_http import AddressRefused

logger = logging.getLogger(__name__)

# Seconds before the second try, each further pause being twice as long, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 4 * 3600.0
# How many are sent in one round, and seconds after which the rest is left to the next one.
AT_ONCE, ROUND = 50, 20.0
# Seconds between two searches for what may be forgotten, and for which is kept what was merged.
TIDY_INTERVAL, KEEP_MERGED = 3600.0, 86_400.0

# When that is done next; by the clock of this process.
_tidies_at = 0.0


def work() -> None:
    """Do what is to be done now. Raises an error of the store or the database."""
    close_groups()
    send_due()
    _tidy_now_and_then()


def send_due() -> int:
    """Send what is due; return how many messages were."""
    due = Message._default_manager.filter(stage=Stage.DUE, due_at__lte=timezone.now())
    sent, until = 0, time.monotonic() + ROUND
    for message in list(due.order_by("due_at", "pk")[:AT_ONCE]):
        if time.monotonic() > until:
            break
        if _take(message):
            sent += _try_to_send(message)
    return sent


def _take(message: Message) -> bool:
    """Count a try before it is made: what dies in it is tried again, and not for ever."""
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**message.tries)
    row: Any = Message._default_manager.filter(pk=message.pk, stage=Stage.DUE, tries=message.tries)
    due_at = timezone.now() + timedelta(seconds=pause)
    # Not when it was put off just now, as others to the same address.
    row = row.filter(due_at=message.due_at)
    message.tries += 1
    return bool(row.update(tries=F("tries") + 1, due_at=due_at))


def _try_to_send(message: Message) -> bool:
    row = Message._default_manager.filter(pk=message.pk)
    try:
        mail.send(message) if message.channel == EMAIL else webhook.send(message)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"[:500]
        is_over = message.tries >= setting("TRIES") or isinstance(error, AddressRefused)
        row.update(error=text, stage=Stage.FAILED if is_over else Stage.DUE)
        logger.warning(
            "Cannot send by %s to %s%s: %s",
            *(message.channel, _loggable(message), ", given up" if is_over else "", text),
        )
        if not is_over:
            _put_off_others(message)
        return False
    row.update(stage=Stage.SENT, error="")
    return True


def _loggable(message: Message) -> str:
    """Return where it goes, without what may be a secret in the path of an address."""
    return "/".join(message.target.split("/")[:3])


def _put_off_others(message: Message) -> None:
    """Let what goes to the same address wait: it would keep others waiting."""
    others = Message._default_manager.filter(
        stage=Stage.DUE, channel=message.channel, target=message.target, due_at__lte=timezone.now()
    )
    others.update(due_at=timezone.now() + timedelta(seconds=FIRST_PAUSE))


def _tidy_now_and_then() -> None:
    global _tidies_at
    if time.monotonic() < _tidies_at:
        return
    _tidies_at = time.monotonic() + TIDY_INTERVAL
    now = timezone.now()
    ended = Message._default_manager.filter(stage__in=[Stage.SENT, Stage.FAILED])
    ended.filter(created_at__lt=now - timedelta(seconds=setting("KEEP"))).delete()
    merged = Message._default_manager.filter(stage=Stage.MERGED)
    merged.filter(created_at__lt=now - timedelta(seconds=KEEP_MERGED)).delete()
