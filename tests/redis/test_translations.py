"""Every word of the page is there in every language that is shipped."""

import gettext
import io
import re
from pathlib import Path

import django
import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po
from django.contrib.auth import get_user_model
from django.utils import translation
from django.utils.translation.template import templatize

from moi_django import Group
from moi_django.models import State
from moi_django.pages.status_div import SAMPLES
from tests.helpers.package import PACKAGE
from tests.helpers.records import finish, job_in
from tests.helpers.rendering import live, render

LOCALES = sorted(path.name for path in (PACKAGE / "locale").iterdir())
KEYWORDS = {
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "_": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}


def as_python(template):
    """Return what a template says as calls that stand each for itself."""
    lines = templatize(template).splitlines()
    return "\n".join(re.sub(r"(?<![\w.])u(?=['\"])", "", line.strip()) for line in lines)


def extracted():
    """Return (context, msgid) of what the templates and the modules say, plurals as a tuple."""
    found = set()
    for path in [each for kind in ("html", "txt", "py") for each in PACKAGE.rglob(f"*.{kind}")]:
        code = path.read_text() if path.suffix == ".py" else as_python(path.read_text())
        for _, message, _, context in extract("python", io.BytesIO(code.encode()), KEYWORDS):
            found.add((context, message))
    return found


def catalog(locale):
    with (PACKAGE / "locale" / locale / "LC_MESSAGES/django.po").open("rb") as file:
        return read_po(file)


def compiled(locale):
    with (PACKAGE / "locale" / locale / "LC_MESSAGES/django.mo").open("rb") as file:
        return gettext.GNUTranslations(file)


def gettext_of(directory):
    """Return what a directory of some app translates; nothing when there is no such directory."""
    path = directory / "LC_MESSAGES" / "django.mo"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return gettext.GNUTranslations(file)._catalog


def test_these_languages_are_shipped():
    assert LOCALES == ["ar", "de", "en", "es", "fr", "zh_Hans"]


@pytest.mark.parametrize("locale", LOCALES)
def test_every_word_is_translated_and_no_other(locale):
    messages = [message for message in catalog(locale) if message.id]
    wanted = extracted()
    assert len(wanted) > 40
    assert {(message.context, message.id) for message in messages} == wanted
    for message in messages:
        strings = message.string if message.pluralizable else [message.string]
        assert all(strings), message.id
        assert len(strings) == (catalog(locale).num_plurals if message.pluralizable else 1)
        assert not message.fuzzy


@pytest.mark.parametrize("locale", LOCALES)
def test_no_word_of_ours_is_said_otherwise_by_django(locale):
    """Where two apps share a word, the first one in INSTALLED_APPS says it for both."""
    ours = gettext_of(PACKAGE / "locale" / locale)
    root = Path(django.__file__).parent
    for directory in (root / "conf", *(root / "contrib").iterdir()):
        theirs = gettext_of(directory / "locale" / locale)
        shared = [key for key in ours.keys() & theirs.keys() if key and "\x04" not in str(key)]
        assert {key: ours[key] for key in shared} == {key: theirs[key] for key in shared}


@pytest.mark.parametrize("locale", LOCALES)
def test_a_translation_has_the_holes_of_its_original(locale):
    for message in catalog(locale):
        if not message.id:
            continue
        original = message.id[-1] if message.pluralizable else message.id
        strings = message.string if message.pluralizable else [message.string]
        holes = r"%\(\w+\)s|<[^>]+>"
        for string in strings:
            # "One new job" needs no number.
            assert set(re.findall(holes, string)) <= set(re.findall(holes, original))
            assert message.pluralizable or len(re.findall(holes, string)) == len(
                re.findall(holes, original)
            )


@pytest.mark.parametrize("locale", LOCALES)
def test_what_is_compiled_is_what_is_written(locale):
    written, mo = {}, compiled(locale)
    for message in catalog(locale):
        if not message.id:
            continue
        key = message.id[0] if message.pluralizable else message.id
        key = f"{message.context}\x04{key}" if message.context else key
        if message.pluralizable:
            written |= {(key, number): text for number, text in enumerate(message.string)}
        else:
            written[key] = message.string
    assert {key: text for key, text in mo._catalog.items() if key} == written


@pytest.mark.parametrize("locale", LOCALES)
def test_the_samples_have_every_plural(locale):
    """So the script, which is given these numbers' forms, can say any number."""
    forms = {compiled(locale).plural(number) for number in SAMPLES}
    assert forms == {compiled(locale).plural(number) for number in range(1000)}


@pytest.mark.django_db
@pytest.mark.parametrize("locale", LOCALES)
def test_the_page_speaks_the_language(moi, store, locale):
    ada = get_user_model().objects.create_user("ada")
    group = Group.create(ada, "a sweep")
    finish(store, job_in(store, group, "one"))
    finish(store, job_in(store, group, "two"), State.FAILED)
    store.jobs.change(job_in(store, group, "own").id, lambda info: info.changed(status="Own words"))
    language = locale.lower().replace("_", "-")
    with translation.override(language):
        html = render(ada)
        status = translation.pgettext("job", "Success")
    shown = live(html)
    assert f'<moi-jobs class="moi" lang="{language}"' in html
    assert f'dir="{"rtl" if locale == "ar" else "ltr"}"' in html
    assert f'data-moi="status" dir="auto">{status}</span>' in shown
    assert "Own words" in shown
    if locale != "en":
        for english in ("Success", "Cancel", "Remove", "Retry", "Members of", "waiting"):
            assert not re.search(rf"\b{english}\b", re.sub(r"<[^>]+>", "", html))
