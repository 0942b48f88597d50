"""What of a page is in English although the page is not."""

import re
from functools import cache
from html.parser import HTMLParser

from babel.messages.pofile import read_po

from tests.helpers.package import PACKAGE

# Names that every language has as they are, some of them of things in tests.
NAMES = {"UTC", "CPU", "JSON", "HTML", "Python", "Django", "moi"} | {"operator", "default", "lab"}
ID = re.compile(r"\b[0-9a-f]{8}-[-0-9a-f]{27}\b")
HOLE = r"%\(\w+\)[sd]"
# What people read of attributes.
READ = {"title", "aria-label", "placeholder"}
VOID = {"meta", "link", "input", "img", "br", "hr", "rect", "line", "path", "circle", "use"}


def catalog(locale):
    """Return the messages of a language."""
    with (PACKAGE / "locale" / locale / "LC_MESSAGES/django.po").open("rb") as file:
        return [message for message in read_po(file, locale) if message.id]


class _Texts(HTMLParser):
    """Collects the texts that people read, but what says itself that it is code, or English."""

    def __init__(self):
        super().__init__()
        self.texts, self._open, self._skipped = [], [], 0

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        is_skipped = (
            tag in ("script", "style", "code", "pre")
            or given.get("lang") == "en"
            or given.get("translate") == "no"
            # Of the admin, which does not have all words in all languages.
            or given.get("id") == "nav-sidebar"
        )
        if not self._skipped and not is_skipped:
            self.texts += [value for name, value in attrs if name in READ and value]
        if tag not in VOID:
            self._open.append((tag, is_skipped))
            self._skipped += is_skipped

    def handle_endtag(self, tag):
        while self._open:
            name, was_skipped = self._open.pop()
            self._skipped -= was_skipped
            if name == tag:
                break

    def handle_data(self, data):
        if not self._skipped and (text := " ".join(data.split())):
            self.texts.append(text)


@cache
def _english(locale):
    """Return a pattern of the texts of our messages that this language has other words for."""
    pieces = set()
    for message in catalog(locale):
        ids = message.id if message.pluralizable else [message.id]
        strings = message.string if message.pluralizable else [message.string]
        translated = {text for string in strings for text in re.split("<[^>]+>", string)}
        for id in ids:
            pieces |= {text.strip() for text in re.split("<[^>]+>", id)} - translated
    texts = [
        ".*".join(map(re.escape, re.split(HOLE, piece.replace("%%", "%")))) for piece in pieces
    ]
    return re.compile("|".join(text for text in texts if re.search("[A-Za-z]{3}", text)))


def left_in_english(html, locale, is_all_ours=True):
    """Return the texts of a page that are one of our messages, untranslated.

    Where no word of the language has Latin letters, no other text may have any either, if it
    `is_all_ours`.
    """
    page = _Texts()
    page.feed(html)
    found = {text for text in page.texts if _english(locale).fullmatch(text)}
    if is_all_ours and locale in ("ar", "zh_Hans"):
        words = ((text, re.findall("[A-Za-z]{3,}", ID.sub("", text))) for text in page.texts)
        found |= {text for text, latin in words if set(latin) - NAMES}
    return found
