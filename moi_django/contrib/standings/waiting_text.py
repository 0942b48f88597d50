"""What waiting jobs say of themselves, which Redis has in English, in the language of a page."""

import re

from django.utils.translation import gettext, gettext_noop

# The more particular first.
WAITS = [
    gettext_noop("Waits until %(name)s is resumed"),
    gettext_noop("Waits for a place among those of its limit"),
    gettext_noop("Waits for another job of its owner to end"),
    gettext_noop("Waits for an engine with Python %(name)s"),
    gettext_noop("Waits for an engine of %(name)s"),
    gettext_noop("Waits for another job"),
    gettext_noop("Waits for %(number)s jobs"),
    gettext_noop("Waits for %(name)s"),
]
_HOLES = {"name": "(.*)", "number": "([0-9]+)"}


def translate_status(status: str) -> str:
    """Return a status text in the language of the page, if it is one of these."""
    for message in WAITS if status.startswith("Waits ") else ():
        if found := re.fullmatch(message % _HOLES, status, re.DOTALL):
            return found.expand(gettext(message) % dict.fromkeys(_HOLES, r"\1"))
    return status


def translated_waits() -> list[tuple[str, str]]:
    """Return the patterns of all of them, and what replaces each in a script."""
    holes = dict.fromkeys(_HOLES, "$1")
    return [(message % _HOLES, gettext(message) % holes) for message in WAITS]
