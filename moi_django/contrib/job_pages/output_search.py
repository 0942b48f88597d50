"""Find lines in all that is kept of what a job has printed, and where in them the text is."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

# Maximum number of lines that a page shows, of characters of each, and of the text to look for.
MAX_LINES, MAX_LENGTH, MAX_TEXT = 500, 2_000, 200


@dataclass(frozen=True, slots=True)
class FoundLine:
    """A line that has the text."""

    number: int
    # What is before, is, and follows each occurrence: every second one is an occurrence.
    parts: list[str]


@dataclass(slots=True)
class FoundLines:
    """The lines that have a text, in whatever case."""

    text: str
    lines: list[FoundLine] = field(default_factory=list)
    # How many have it, also those that are not shown.
    count: int = 0


def find_lines(texts: Iterable[str], wanted: str) -> FoundLines:
    """Return the first lines of a text, given in pieces, that have another text in them."""
    wanted = wanted.strip()[:MAX_TEXT]
    pattern = re.compile(f"({re.escape(wanted)})", re.IGNORECASE)
    found = FoundLines(wanted)
    for number, line in enumerate("".join(texts).split("\n"), 1):
        if not pattern.search(line):
            continue
        found.count += 1
        if len(found.lines) < MAX_LINES:
            found.lines.append(FoundLine(number, pattern.split(_around(line, pattern))))
    return found


def _around(line: str, pattern: re.Pattern[str]) -> str:
    """Return what of a long line is about the first occurrence."""
    first = next(islice(pattern.finditer(line), 1))
    begin = max(0, min(first.start() - MAX_LENGTH // 2, len(line) - MAX_LENGTH))
    return line[begin : begin + MAX_LENGTH]
