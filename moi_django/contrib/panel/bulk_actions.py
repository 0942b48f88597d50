"""What an operator does with many jobs at once: chosen, confirmed, then done with each."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import ngettext, ngettext_lazy, pgettext_lazy

from moi_django import authorization
from moi_django.conf import conf
from moi_django.contrib.monitoring import job_search
from moi_django.contrib.monitoring.job_index import IndexPosition
from moi_django.jobs import actions
from moi_django.models import Info, State
from moi_django.site_store import get_store

logger = logging.getLogger("moi_django.panel")

# Seconds after which a request goes on with no further job.
MAX_SECONDS = 10.0
# How many jobs are read at once.
BATCH_SIZE = 200


@dataclass(frozen=True, slots=True)
class BulkAction:
    """What can be done with chosen jobs; its words are for a number of them, `n`."""

    verb: str
    label: str | Promise
    question: str | Promise
    # Label of the button that does it.
    yes: str | Promise
    done: str | Promise
    # Says with how many there was nothing to do.
    left: str | Promise
    # Tell whether there may be something to do with a job.
    suits: Callable[[Info], bool]
    # Do it; tell whether there was something to do. Raises MoiError.
    act: Callable[[Info], bool]


@dataclass(frozen=True, slots=True)
class ChosenJobs:
    """The jobs that something is to be done with."""

    ids: list[str]
    # The first of them, for the page that asks.
    shown: list[Info]
    # Position of the newest match when it was asked: those that came later are left alone.
    newest: IndexPosition | None = None

    @property
    def more(self) -> int:
        """How many there are besides those shown."""
        return len(self.ids) - len(self.shown)


def find_chosen(request: HttpRequest, action: BulkAction, query: job_search.JobQuery) -> ChosenJobs:
    """Return the jobs that were chosen, or all that match a query, that the user may change."""
    if "all" in request.POST:
        return _all_matching(request, action, query)
    infos = get_store().jobs.get_many(request.POST.getlist("id")[: job_search.PAGE_SIZE])
    jobs = [info for info in infos if info is not None and not info.is_group]
    mine = [info for info in jobs if authorization.allowed(request.user, "change", info)]
    return ChosenJobs([info.id for info in mine], mine)


def _all_matching(
    request: HttpRequest, action: BulkAction, query: job_search.JobQuery
) -> ChosenJobs:
    """Return the jobs that match a query with which there may be something to do."""
    newest, choice = IndexPosition.from_text(request.POST.get("newest", "")), ChosenJobs([], [])
    for info in job_search.iterate_jobs(request.user, query):
        place = IndexPosition.of_job(info)
        if newest is None:
            newest = place
        # Who comes here may change all jobs, but for what the site has to say about it.
        may = not conf.AUTHORIZE or authorization.allowed(request.user, "change", info)
        if may and place <= newest and action.suits(info):
            choice.ids.append(info.id)
            choice.shown.extend([info] if len(choice.shown) < job_search.PAGE_SIZE else [])
    return replace(choice, newest=newest)


def confirmation(request: HttpRequest, action: BulkAction, choice: ChosenJobs) -> dict[str, Any]:
    """Return what the page shows that asks before it is done."""
    number = {"n": len(choice.ids)}
    return {
        "title": action.label,
        "back": request.get_full_path(),
        "action": action.verb,
        "yes": action.yes % number,
        "question": action.question % number,
        "rows": job_search.summarize_jobs(choice.shown),
        "choice": choice,
    }


def apply_to_all(request: HttpRequest, action: BulkAction, ids: list[str]) -> None:
    """Do it with each job, and say with how many it was done."""
    done = left = 0
    for id, is_done in _apply_to_each(action, ids):
        done, left = done + is_done, left + (not is_done)
        if is_done:
            logger.info("%s: %s, job %s", request.user, action.verb, id, extra={"job_id": id})
    if done:
        messages.success(request, action.done % {"n": done})
    if left:
        messages.warning(request, action.left % {"n": left})
    if later := len(ids) - done - left:
        text = ngettext(
            "There was no time for %(n)d job: do it again.",
            "There was no time for %(n)d jobs: do it again.",
            later,
        )
        messages.warning(request, text % {"n": later})


def _apply_to_each(action: BulkAction, ids: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Act on one job after another while there is time; yield with which there was something to do.

    The first one is always tried.
    """
    end = time.monotonic() + MAX_SECONDS
    for start in range(0, len(ids), BATCH_SIZE):
        batch = ids[start : start + BATCH_SIZE]
        for id, info in zip(batch, get_store().jobs.get_many(batch), strict=True):
            yield id, info is not None and _perform(action, info)
            if time.monotonic() > end:
                return


def _perform(action: BulkAction, info: Info) -> bool:
    try:
        return action.act(info)
    except actions.REFUSALS as error:
        logger.info("No %s: %s", action.verb, error)
        return False


def _cancel(info: Info) -> bool:
    return actions.perform("cancel", info).affected > 0


def _retry(info: Info) -> bool:
    return actions.perform("retry", info).affected > 0


def _remove(info: Info) -> bool:
    return actions.perform("remove", info).affected > 0


def _move_to_front(info: Info) -> bool:
    # The newest come first, so the oldest is the next one in the end.
    return get_store().queue.prefer(info)


ACTIONS: dict[str, BulkAction] = {
    "prefer": BulkAction(
        "prefer",
        pgettext_lazy("job", "Move to the front"),
        ngettext_lazy(
            "Move %(n)d job to the front of its queue?",
            "Move %(n)d jobs to the front of their queues?",
            "n",
        ),
        ngettext_lazy("Yes, move %(n)d job", "Yes, move %(n)d jobs", "n"),
        ngettext_lazy("%(n)d job moved to the front.", "%(n)d jobs moved to the front.", "n"),
        ngettext_lazy(
            "%(n)d job does not wait in a queue.", "%(n)d jobs do not wait in a queue.", "n"
        ),
        lambda info: info.state is State.QUEUED,
        _move_to_front,
    ),
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
        _cancel,
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
        _retry,
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
        _remove,
    ),
}
