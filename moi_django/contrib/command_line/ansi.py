"""Output of a job as plain text: without what steers a terminal, with notes of what is missing.

What a terminal makes of it, `terminal_screen` and the script of the page do.
"""

import re
from collections.abc import Iterable, Iterator

from django.utils.translation import ngettext

from moi_django.store.logs import UNFINISHED, LogEntry, OutputPiece

# Escape sequences: of colours and movements, of titles and links, others; then single characters.
CONTROL = re.compile(
    r"(\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*[0-~]"
    r"|[\x00-\x1f\x7f-\x9f])"
)
_COLOUR = re.compile(r"\x1b\[([0-9;:]*)m")
_STRIPPED = re.compile(rf"(?P<colour>{_COLOUR.pattern})|(?![\t\n\r]){CONTROL.pattern}")
# One whose end may be in the next piece, unless it is too long for that.
_BEGUN = re.compile(rf"{UNFINISHED}\Z")
_LONGEST = 4096


def strip_control(pieces: Iterable[OutputPiece], colours: bool = False) -> Iterator[str]:
    """Yield the texts of pieces without what steers a terminal, its colours excepted if wanted."""
    kept = r"\g<colour>" if colours else ""
    for _, text in join_sequences(pieces):
        yield _STRIPPED.sub(kept, text)


def join_sequences(pieces: Iterable[OutputPiece]) -> Iterator[OutputPiece]:
    """Yield pieces that no sequence goes over the end of."""
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
        yield OutputPiece(stream, text)


def leaves_colours(text: str, before: bool) -> bool:
    """Return whether colours are on after a text, if they were `before` it or not."""
    codes = _COLOUR.findall(text)
    return bool(codes[-1].strip("0")) if codes else before


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
