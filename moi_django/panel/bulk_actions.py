"""What an operator does with many jobs at once."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import ngettext_lazy, pgettext_lazy

from moi_django.jobs import actions
from moi_django.models import Info
from moi_django.site_store import get_store

logger = logging.getLogger(__name__)

# Seconds after which a request goes on with no further job.
MAX_SECONDS = 10.0
# How many jobs are read at once.
BATCH_SIZE = 200


@dataclass(frozen=True, slots=True)
class BulkAction:
    """What can be done with chosen jobs; its words are for a number of them, `n`."""

    verb: actions.Verb
    label: str | Promise
    question: str | Promise
    # Label of the button that does it.
    yes: str | Promise
    done: str | Promise
    # Says with how many there was nothing to do.
    left: str | Promise
    # Tell whether there may be something to do with a job.
    suits: Callable[[Info], bool]


def apply_to_jobs(verb: actions.Verb, ids: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Act on one job after another while there is time; yield with which there was something to do.

    The first one is always tried.
    """
    end = time.monotonic() + MAX_SECONDS
    for start in range(0, len(ids), BATCH_SIZE):
        batch = ids[start : start + BATCH_SIZE]
        for id, info in zip(batch, get_store().jobs.get_many(batch), strict=True):
            yield id, info is not None and _perform(verb, info)
            if time.monotonic() > end:
                return


def _perform(verb: actions.Verb, info: Info) -> bool:
    try:
        return actions.perform(verb, info).affected > 0
    except actions.REFUSALS as error:
        logger.info("No %s: %s", verb, error)
        return False


ACTIONS: dict[str, BulkAction] = {
    "cancel": BulkAction(
        "cancel",
        pgettext_lazy("job", "Cancel"),
        ngettext_lazy(
            "Cancel %(n)d job? What runs is interrupted.",
            "Cancel %(n)d jobs? What runs is interrupted.",
            "n",
        ),
        ngettext_lazy("Yes, cancel %(n)d job", "Yes, cancel %(n)d jobs", "n"),
        ngettext_lazy("%(n)d job cancelled.", "%(n)d jobs cancelled.", "n"),
        ngettext_lazy("%(n)d job had ended before.", "%(n)d jobs had ended before.", "n"),
        lambda info: info.cancellable,
    ),
    "retry": BulkAction(
        "retry",
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
        lambda info: info.retryable,
    ),
    "remove": BulkAction(
        "remove",
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
    ),
}
