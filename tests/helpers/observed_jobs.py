"""What jobs of the observed site do."""

import logging
import sys

logger = logging.getLogger("lab")


def speak():
    """Return what of the caller's is active, and a word of Django's in that language."""
    from django.utils import timezone, translation

    from tests.helpers.observed_settings import request_id

    word = translation.gettext("Yes")
    return translation.get_language(), word, timezone.get_current_timezone_name(), request_id.get()


async def speak_later():
    return speak()


def log():
    logger.info("Half way")
    logger.warning("Careful", extra={"context": "my own"})


def fail(what):
    logger.info("Weighing %s", what)
    raise ValueError(f"{what} cannot be weighed")


def log_failure():
    try:
        fail("water")
    except ValueError:
        logger.exception("Left out")


def exit_with(code):
    sys.exit(code)


def interrupt():
    raise KeyboardInterrupt
