"""Write jobs and what they printed as text for a terminal; jobs exactly as moi 0.2 did."""

import unicodedata
from collections.abc import Iterable, Iterator

from moi_django.contrib.command_line.ansi import note_gaps, strip_control
from moi_django.models import Info
from moi_django.store.logs import LogEntry

# What is shown of a job, sorted, the result after them.
_KEYS = (
    "context",
    "date_created",
    "date_end",
    "date_start",
    "id",
    "name",
    "parent",
    "pubsub",
    "status",
    "type",
    "url",
)

# Controls, what turns the direction of writing, half characters, separators of lines.
_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Parts of Persian words and of emoji.
_JOINERS = "\u200c\u200d"


def detail_block(info: Info, place: str = "") -> str:
    """Return everything about a job, and its place in line if any, ending with an empty line."""
    lines = [f"********** {info.id} **********"]
    lines += [
        f"{_padded_label(key)}\t: {escape_terminal(str(getattr(info, key)))}" for key in _KEYS
    ]
    lines += [f"{_padded_label('place')}\t: {place}"] if place else []
    lines += [f"{_padded_label('result')}\t: {_result_text(info)}", ""]
    return "\n".join(lines) + "\n"


def summary_line(info: Info) -> str:
    """Return one line about a job."""
    date, status = escape_terminal(str(info.date_created)), escape_terminal(info.status)
    return f"date: {date}\tid: {info.id}\tstatus: {status}\n"


def user_lines(names: dict[str, str]) -> str:
    """Return a line for each user: the name and the id of the root group."""
    return "".join(f"{escape_terminal(name)} : {id}\n" for name, id in sorted(names.items()))


def detail_blocks(infos: Iterable[Info]) -> str:
    """Return everything about several jobs."""
    return "".join(detail_block(info) for info in infos)


def output_lines(entries: Iterable[LogEntry]) -> Iterator[str]:
    """Yield what a job has printed, with its colours, without what else could steer a terminal."""
    for text in strip_control(note_gaps(entries), colours=True):
        yield _replace_control(text, "\t\n\r\x1b")


def _padded_label(key: str) -> str:
    return key + "\t" if len(key) < 8 else key


def _result_text(info: Info) -> str:
    """Return a text as it is, a traceback too, and another result as Python writes it."""
    if isinstance(info.result, str):
        return "\n".join(map(escape_terminal, info.result.rstrip().split("\n")))
    return repr(info.result)


def escape_terminal(text: str) -> str:
    """Return one line of text without what could steer a terminal."""
    return _replace_control(text, "\t")


def _replace_control(text: str, besides: str) -> str:
    """Put a sign in the place of what could steer a terminal, but for some characters."""
    others = set(text) - {*besides, *_JOINERS}
    steering = {each for each in others if unicodedata.category(each) in _STEERING}
    return text.translate(dict.fromkeys(map(ord, steering), "\ufffd"))
