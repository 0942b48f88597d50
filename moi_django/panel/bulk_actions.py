"""What an operator does with many jobs at once."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import ngettext_lazy, pgettext_lazy

from moi_django.exceptions import InvalidJob, JobNotFound, PayloadRefused
from moi_django.jobs.api import Job
from moi_django.models import Info, State
from moi_django.site_store import get_store

logger = logging.getLogger(__name__)

# Seconds after which a request goes on with no further job.
MAX_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class BulkAction:
    """What can be done with chosen jobs; its words are for a number of them, `n`."""

    label: str | Promise
    question: str | Promise
    # Of the button that does it.
    yes: str | Promise
    done: str | Promise
    # Of those with which there was nothing to do.
    left: str | Promise
    # Tell whether there may be something to do with a job.
    suits: Callable[[Info], bool]
    # Do it with one job; tell whether there was something to do.
    act: Callable[[str], bool]


def apply_to_jobs(action: BulkAction, ids: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Do it with one job after another while there is time; yield with which it was done.

    The first one is always tried.
    """
    end = time.monotonic() + MAX_SECONDS
    for id in ids:
        yield id, action.act(id)
        if time.monotonic() > end:
            break


def _cancel_job(id: str) -> bool:
    try:
        return get_store().jobs.cancel(id)[1]
    except JobNotFound:
        return False


def _remove_job(id: str) -> bool:
    return bool(get_store().tree.remove(id))


def _retry_job(id: str) -> bool:
    try:
        return bool(Job.get(id).retry())
    except (InvalidJob, JobNotFound, PayloadRefused) as error:
        logger.info("Not retried: %s", error)
        return False


def _is_unfinished(info: Info) -> bool:
    return not info.finished


def _can_be_retried(info: Info) -> bool:
    return info.finished and info.state is not State.SUCCESS and not info.retried


ACTIONS = {
    "cancel": BulkAction(
        pgettext_lazy("job", "Cancel"),
        ngettext_lazy(
            "Cancel %(n)d job? What runs is interrupted.",
            "Cancel %(n)d jobs? What runs is interrupted.",
            "n",
        ),
        ngettext_lazy("Yes, cancel %(n)d job", "Yes, cancel %(n)d jobs", "n"),
        ngettext_lazy("%(n)d job cancelled.", "%(n)d jobs cancelled.", "n"),
        ngettext_lazy("%(n)d job had ended before.", "%(n)d jobs had ended before.", "n"),
        _is_unfinished,
        _cancel_job,
    ),
    "retry": BulkAction(
        pgettext_lazy("job", "Retry"),
        ngettext_lazy(
            "Retry %(n)d job? What did not succeed is run again.",
            "Retry %(n)d jobs? What did not succeed is run again.",
            "n",
        ),
        ngettext_lazy("Yes, retry %(n)d job", "Yes, retry %(n)d jobs", "n"),
        ngettext_lazy("%(n)d job retried.", "%(n)d jobs retried.", "n"),
        ngettext_lazy(
            "%(n)d job could not be retried: it has not ended, succeeded, was retried before, or "
            "its function is not kept.",
            "%(n)d jobs could not be retried: they have not ended, succeeded, were retried before, "
            "or their functions are not kept.",
            "n",
        ),
        _can_be_retried,
        _retry_job,
    ),
    "remove": BulkAction(
        pgettext_lazy("job", "Remove"),
        ngettext_lazy(
            "Remove %(n)d job for good? What runs is interrupted.",
            "Remove %(n)d jobs for good? What runs is interrupted.",
            "n",
        ),
        ngettext_lazy("Yes, remove %(n)d job", "Yes, remove %(n)d jobs", "n"),
        ngettext_lazy("%(n)d job removed.", "%(n)d jobs removed.", "n"),
        ngettext_lazy("%(n)d job was gone before.", "%(n)d jobs were gone before.", "n"),
        lambda info: True,
        _remove_job,
    ),
}
