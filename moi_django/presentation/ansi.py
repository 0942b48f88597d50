"""Output of a job as plain text: without what steers a terminal, with notes of what is missing.

The script of the page does more of what a terminal does, see `terminal_output.js`.
"""

import re
from collections.abc import Iterable, Iterator

from django.utils.translation import ngettext

from moi_django.store.logs import UNFINISHED, LogEntry, OutputPiece

# Escape sequences: of colours and weights, of whatever else a terminal can do, of titles and links,
# others; then single characters.
_CONTROL = re.compile(
    r"(?P<colour>\x1b\[[0-9;:]*m)"
    r"|\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
# One whose end may be in the next piece, unless it is too long for that.
_BEGUN = re.compile(rf"{UNFINISHED}\Z")
_LONGEST = 4096


def strip_control(pieces: Iterable[OutputPiece], colours: bool = False) -> Iterator[str]:
    """Yield the texts of pieces without what steers a terminal, its colours excepted if wanted."""
    kept = r"\g<colour>" if colours else ""
    # What the last piece of each stream has begun.
    begun: dict[str, str] = {}
    for stream, new in pieces:
        if stream == "note":  # the end of what was begun is what is missing
            begun.clear()
        text = begun.pop(stream, "") + new
        cut = _BEGUN.search(text, max(0, len(text) - _LONGEST))
        if cut:
            begun[stream] = cut.group()
            text = text[: cut.start()]
        yield _CONTROL.sub(kept, text)


def apply_carriage_returns(text: str) -> str:
    """Return lines as they look in the end, after each return to their beginning."""
    return "\n".join(map(_last_look, text.split("\n")))


def _last_look(line: str) -> str:
    look = ""
    for part in line.split("\r"):
        look = part + look[len(part) :]
    return look


def note_gaps(entries: Iterable[LogEntry]) -> Iterator[OutputPiece]:
    """Yield the pieces of a log, and a note wherever some were dropped."""
    end = 0
    for entry in entries:
        if entry.at > end:
            yield OutputPiece("note", ("\n" if end else "") + _gap_note(entry.at - end))
        yield entry.piece
        end = entry.end


def _gap_note(count: int) -> str:
    note = ngettext("[… %(count)s byte left out]", "[… %(count)s bytes left out]", count)
    return note % {"count": count} + "\n"
