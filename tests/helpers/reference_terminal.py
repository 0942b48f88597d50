"""What pyte, a terminal in Python, shows: the reference for how output is shown."""

import re
from pathlib import Path

import pyte
from hypothesis import strategies as st

from moi_django.contrib.job_pages.terminal_screen import COLUMNS, ROWS

# What tools wrote to a terminal of 50 rows and 100 columns.
RECORDINGS = {
    path.stem: path.read_bytes().decode()
    for path in sorted((Path(__file__).parents[1] / "recordings").glob("*.txt"))
}
_TOKEN = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z@]|\x1b.|[^\x1b]+", re.DOTALL)
# How pyte differs from others: it knows no `ESC[s`, and forgets a position that it went back to.
_TRANSLATED = {"\x1b[s": "\x1b7", "\x1b[u": "\x1b8\x1b7", "\x1b8": "\x1b8\x1b7"}


def rows_shown(text: str) -> list[str]:
    """Return the lines that scrolled off and the screen, without blanks at their ends."""
    screen = pyte.HistoryScreen(COLUMNS, ROWS, history=100_000)
    screen.set_mode(pyte.modes.LNM)  # as a job's output has no \r before \n
    stream = pyte.Stream(screen)
    for token in _TOKEN.findall(text):
        for row in range(ROWS):
            screen.buffer[row]  # which it fails to move up where there is none yet
        stream.feed(_TRANSLATED.get(token, token))
    lines = [*screen.history.top, *(screen.buffer[row] for row in range(ROWS))]
    return rows_of(
        "\n".join("".join(line[x].data for x in range(max(line, default=-1) + 1)) for line in lines)
    )


def rows_of(text: str) -> list[str]:
    """Return the lines of a text, without blanks and empty lines at the ends."""
    return [line.rstrip(" ") for line in text.rstrip(" \n").split("\n")]


_NUMBERS = st.sampled_from(["", "0", "1", "2", "3", "7", "60"])
_SEQUENCES = st.one_of(
    st.builds("\x1b[{}{}".format, _NUMBERS, st.sampled_from("ABCDEFGLMPXd")),
    st.builds("\x1b[{};{}{}".format, _NUMBERS, _NUMBERS, st.sampled_from("Hf")),
    st.builds("\x1b[{}{}".format, st.sampled_from(["", "0", "1", "2"]), st.sampled_from("JK")),
    st.sampled_from(["\x1b[3J", "\x1b[s", "\x1b[u", "\x1b7", "\x1b8", "\x1bD", "\x1bE", "\x1bM"]),
    st.sampled_from(["\x1b[31m", "\x1b[0;1m", "\x1b[m", "\x1b[?25l", "\x1b]0;title\x07"]),
)
_WORDS = st.one_of(
    st.sampled_from(["\n", "\r\n", "\r", "\b", "\t", "\v", "\n" * 49, "é", "x" * 30]),
    st.text("abc xyz", min_size=1, max_size=8),
)
# What makes a terminal work hard when it is repeated.
HEAVY = [
    *(
        "\x1b[999Cx\n",
        "\x1b[1;999Hx\x1b[1K",
        "\x1b[2K\x1b[999Gx",
        "\x1b[999L",
        "\x1b[999M\x1b[999B",
    ),
    *(
        "\x1b[J\x1b[50;1H\x1b[H",
        "\x1b7\x1b8",
        "x" * 999 + "\r",
        "x\b",
        "\x1b[",
        "\x1b[50B\x1bD",
        "\n",
    ),
    *("\x1b[31mx\x1b[32my", "\x1b[1;4r\n", "x"),
]
# Output that makes a terminal do all that it can.
OUTPUTS = st.lists(st.one_of(_WORDS, _SEQUENCES), max_size=40).map("".join)
