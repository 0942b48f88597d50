"""What an operator does with a context or an engine in the panel: chosen, confirmed, then done."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, pgettext_lazy

from moi_django.contrib.operation import pauses
from moi_django.exceptions import UsageError

logger = logging.getLogger("moi_django.panel")


@dataclass(frozen=True, slots=True)
class Operation:
    """What can be done with a context or an engine; its words are for a `name`."""

    label: str | Promise
    question: str | Promise
    yes: str | Promise
    done: str | Promise
    # Finds what a button is for, by what stands on its value; raises UsageError.
    find: Callable[[str], Any]
    # Tells what people call that.
    label_of: Callable[[Any], str]
    act: Callable[[Any], object]


def find_operation(posted: Mapping[str, str]) -> tuple[str, Operation] | None:
    """Return what a button of the panel is for, by its name."""
    return next(((name, each) for name, each in OPERATIONS.items() if name in posted), None)


def describe_target(operation: Operation, target: str) -> str | None:
    """Return what people call a context or engine, or None when there is none."""
    try:
        return operation.label_of(operation.find(target))
    except UsageError as error:
        logger.info("Nothing was done: %s", error)
        return None


def confirmation(request: HttpRequest, verb: str, target: str, name: str) -> dict[str, Any]:
    """Return what the page shows that asks before it is done."""
    operation = OPERATIONS[verb]
    return {
        "title": operation.label,
        "back": request.get_full_path(),
        "action": verb,
        "target": target,
        "yes": operation.yes,
        "question": operation.question % {"name": name},
    }


def perform(request: HttpRequest, verb: str, target: str, name: str) -> None:
    """Do it, and say so."""
    operation = OPERATIONS[verb]
    operation.act(operation.find(target))
    logger.info("%s: %s, %s", request.user, verb, name)
    messages.success(request, operation.done % {"name": name})


OPERATIONS: dict[str, Operation] = {
    "pause": Operation(
        pgettext_lazy("moi", "Pause"),
        gettext_lazy("Pause %(name)s? What runs goes on, and no other job begins."),
        gettext_lazy("Yes, pause it"),
        gettext_lazy("%(name)s is paused."),
        pauses.require_context,
        str,
        pauses.pause,
    ),
    "resume": Operation(
        pgettext_lazy("moi", "Resume"),
        gettext_lazy("Resume %(name)s? What waits begins."),
        gettext_lazy("Yes, resume it"),
        gettext_lazy("%(name)s goes on."),
        pauses.require_context,
        str,
        pauses.resume,
    ),
    "drain": Operation(
        pgettext_lazy("moi", "Drain"),
        gettext_lazy("Drain %(name)s? Its job goes on, and no other one begins there."),
        gettext_lazy("Yes, drain it"),
        gettext_lazy("%(name)s is drained."),
        pauses.find_engine,
        pauses.engine_label,
        pauses.drain_engine,
    ),
    "resume-engine": Operation(
        pgettext_lazy("moi", "Resume"),
        gettext_lazy("Resume %(name)s? What waits begins."),
        gettext_lazy("Yes, resume it"),
        gettext_lazy("%(name)s goes on."),
        pauses.find_engine,
        pauses.engine_label,
        pauses.resume_engine,
    ),
}
