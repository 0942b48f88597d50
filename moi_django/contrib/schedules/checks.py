"""Find a schedule that cannot run: `manage.py check` says what to do about it."""

from collections.abc import Callable, Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, register

from moi_django.contrib.schedules import cron_line, registry
from moi_django.contrib.schedules.registry import Schedule
from moi_django.exceptions import InvalidJob


@register("moi")
def check_schedules(**kwargs: Any) -> list[CheckMessage]:
    """Check that each schedule says what is to run when, and whose it is."""
    return [*_check_discovery(), *_check_all(registry.names())]


def _check_discovery() -> Iterator[CheckMessage]:
    try:
        registry.discover()
    except Exception as error:
        yield Error(
            f"The functions that are to run by the clock cannot be imported: {error!r}.",
            hint="They are looked for in the module `jobs` of each installed app.",
            id="moi.E024",
        )


def _check_all(names: list[str]) -> Iterator[CheckMessage]:
    for name in names:
        try:
            schedule = registry.find(name)
            schedule.require_sense()
        except InvalidJob as error:
            yield Error(
                str(error),
                hint='"nightly": {"func": "app.work.tidy", "cron": "0 3 * * *", "owner": "ops"}',
                id="moi.E020",
            )
        else:
            yield from _check_one(schedule)
    if names and not cron_line.is_installed():
        yield Error(
            "There are schedules, and cronsim is not installed: none of them runs.",
            hint="pip install 'moi_django[schedule]'",
            id="moi.E025",
        )


def _check_one(schedule: Schedule) -> Iterator[CheckMessage]:
    where = f"The schedule {schedule.name!r}"
    if error := _refusal(lambda: cron_line.load_zone(schedule.zone)):
        yield Error(
            f"{where}: {error}",
            hint="Such as 'Europe/Berlin': `zoneinfo.available_timezones()` has them all.",
            id="moi.E022",
        )
    elif cron_line.is_installed() and (error := _refusal(lambda: schedule.line)):
        yield Error(
            f"{where}: {error}",
            hint="Such as '*/15 * * * *' for every quarter of an hour.",
            id="moi.E021",
        )
    if error := _refusal(schedule.require_owner):
        yield Error(
            str(error),
            hint="A username, or any name; the page of that owner shows the jobs.",
            id="moi.E023",
        )
    if error := _refusal(schedule.load_function):
        yield Error(
            str(error), hint="Give the dotted path of a function: 'app.work.tidy'.", id="moi.E024"
        )


def _refusal(look: Callable[[], object]) -> InvalidJob | None:
    """Return why something makes no sense, or None."""
    try:
        look()
    except InvalidJob as error:
        return error
    return None
