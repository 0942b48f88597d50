"""What a terminal shows of output in the end; `terminal_output.js` is the same for the page."""

import re
from collections import deque
from collections.abc import Callable, Iterable

from moi_django.contrib.command_line.ansi import CONTROL, join_sequences
from moi_django.store.logs import OutputPiece

# The rows that can still change, their length, and how many lines are kept.
ROWS, COLUMNS, MAX_LINES = 50, 1_000, 5_000
# The last cell of a row that goes on in the next one: no character that is shown.
_WRAP = "\0"
_COMMAND = re.compile(r"\x1b(\[?)([0-9;]*)([@-~78])\Z")


def render_output(pieces: Iterable[OutputPiece]) -> tuple[str, bool]:
    """Return the last lines that a terminal shows of pieces, and whether there were more."""
    screen = _Screen()
    for _, text in join_sequences(pieces):
        for index, part in enumerate(CONTROL.split(text)):
            (screen.execute if index % 2 else screen.write)(part)
    lines = [*screen.above, *map("".join, screen.rows)]
    text = "\n".join(lines[-MAX_LINES:]).replace(f"{_WRAP}\n", "").removesuffix(_WRAP)
    return text, len(lines) > MAX_LINES


class _Screen:
    """The rows of a terminal down to the lowest in use, and what has left it by the top."""

    def __init__(self) -> None:
        self.above: deque[str] = deque(maxlen=MAX_LINES)
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0
        self.saved = deque([(0, 0)], maxlen=1)
        self.bottom = ROWS - 1  # the last row that scrolls

    def write(self, text: str) -> None:
        start = 0
        while start < len(text):
            if self.column == COLUMNS:
                if len(self.rows[self.row]) >= COLUMNS:
                    self.rows[self.row][COLUMNS:] = [_WRAP]
                self.feed_line(0)
            part = text[start : start + COLUMNS - self.column]
            cells = self.rows[self.row]
            cells += " " * (self.column - len(cells))
            cells[self.column : self.column + len(part)] = part
            self.column += len(part)
            start += len(part)

    def execute(self, control: str) -> None:
        found = _COMMAND.match(control)
        name, numbers = (found[1] + found[3], found[2]) if found else (control, "")
        first, second = [int(each[:9] or 0) for each in f"{numbers};".split(";")][:2]
        count = max(1, first)
        name = _ALIASES.get(name, name)
        if name in _STEPS:
            down, right = _STEPS[name]
            self.move(self.row + down * count, self.column + right * count)
        elif name in _COMMANDS:
            _COMMANDS[name](self, count, first, second)

    def move(self, row: int, column: int) -> None:
        """Move the cursor, but not out of the screen."""
        self.row = min(max(0, row), ROWS - 1)
        self.column = min(max(0, column), COLUMNS - 1)
        self.rows += [[] for _ in range(self.row + 1 - len(self.rows))]

    def feed_line(self, column: int) -> None:
        """Move the cursor a line down; below the last that scrolls, the first leaves the screen."""
        if self.row == self.bottom:
            self.above.append("".join(self.rows[0]))
            self.shift(0, self.bottom, 1, column)
        else:
            self.move(self.row + 1, column)

    def shift(self, start: int, end: int, count: int, column: int) -> None:
        """Take rows out at one place and put empty ones in at another."""
        for _ in range(min(count, ROWS)):
            del self.rows[start : start + 1]
            self.rows.insert(end, [])
        self.column = column

    def erase(self, start: int, end: int) -> None:
        cells = self.rows[self.row]
        cells[start:end] = " " * (end - start) if end < len(cells) else ""

    def delete(self, count: int) -> None:
        """Take characters out of a row, which then no longer goes on in the next one."""
        cells = self.rows[self.row]
        del cells[COLUMNS:], cells[self.column : self.column + count]

    def erase_line(self, how: int) -> None:
        self.erase(0 if how else self.column, self.column + 1 if how == 1 else COLUMNS + 1)

    def erase_screen(self, how: int) -> None:
        """Erase from the cursor on (0), up to it (1), all (2), or also what has left (3)."""
        if how == 3:
            self.above.clear()
        if how != 1:
            del self.rows[self.row + 1 :]
        if how:
            self.rows[: self.row] = [[] for _ in range(self.row)]
        self.erase_line(how)

    def scroll_to(self, first: int, last: int) -> None:
        self.bottom = last - 1 if first < 2 and 1 < last < ROWS else ROWS - 1
        self.move(0, 0)


_ALIASES = {"\v": "\n", "\f": "\n", "E": "\n", "[f": "[H", "[s": "7", "[u": "8"}
# How far down and to the right the cursor goes, for each of as many steps as a command says.
_STEPS = {"[A": (-1, 0), "[B": (1, 0), "[C": (0, 1), "[D": (0, -1), "\b": (0, -1)}
_STEPS |= {"[E": (1, -COLUMNS), "[F": (-1, -COLUMNS), "\r": (0, -COLUMNS)}
# What else controls do; with a number of at least 1, and with the first two as they are.
_COMMANDS: dict[str, Callable[[_Screen, int, int, int], object]] = {
    "\t": lambda s, *_: s.move(s.row, s.column + 8 - s.column % 8),
    "\n": lambda s, *_: s.feed_line(0),
    "D": lambda s, *_: s.feed_line(s.column),
    "M": lambda s, *_: s.move(s.row - 1, s.column) if s.row else s.shift(s.bottom, 0, 1, s.column),
    "7": lambda s, *_: s.saved.append((s.row, s.column)),
    "8": lambda s, *_: s.move(*s.saved[0]),
    "[G": lambda s, n, *_: s.move(s.row, n - 1),
    "[H": lambda s, n, _, column: s.move(n - 1, column - 1),
    "[d": lambda s, n, *_: s.move(n - 1, s.column),
    "[J": lambda s, _, how, __: s.erase_screen(how),
    "[K": lambda s, _, how, __: s.erase_line(how),
    "[L": lambda s, n, *_: s.shift(s.bottom, s.row, n, 0),
    "[M": lambda s, n, *_: s.shift(s.row, s.bottom, n, 0),
    "[P": lambda s, n, *_: s.delete(n),
    "[X": lambda s, n, *_: s.erase(s.column, s.column + n),
    "[r": lambda s, _, first, last: s.scroll_to(first, last),
}
