"""What of a traceback matters most: what was raised, and the lines of the user's own code."""

import re
from dataclasses import dataclass
from textwrap import dedent

_FRAME = re.compile(r'  File "(?P<file>[^"\n]+)", line \d+(?:, in .*)?\n(?:    .*\n?)*')
# Files of Python itself, of what was installed, and of ours.
_LIBRARY = re.compile(
    r"[\\/](?:site|dist)-packages[\\/]|[\\/]lib(?:64)?[\\/]python3|[\\/]Python3\d+[\\/]Lib[\\/]"
    r"|^<frozen |[\\/]moi_django[\\/](?:engine|contrib|jobs)[\\/]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class TracebackSummary:
    """A traceback in short."""

    # What was raised last.
    error: str
    # The frames of the user's own code, the innermost last; empty where all are, or none.
    own_frames: str


def summarize_traceback(text: str) -> TracebackSummary | None:
    """Return a traceback in short; None for a text that is none."""
    frames = list(_FRAME.finditer(text))
    error = text[frames[-1].end() :].strip() if frames else ""
    if not error:
        return None
    # Of several that led to each other the last one was raised at the end.
    begin = max(text.rfind("\nTraceback (most recent call last):", 0, frames[-1].start()), 0)
    last = [frame for frame in frames if frame.start() >= begin]
    own = [frame for frame in last if not _LIBRARY.search(frame["file"])]
    is_shorter = 0 < len(own) < len(frames)
    return TracebackSummary(error, _frames_text(own) if is_shorter else "")


def _frames_text(frames: list[re.Match[str]]) -> str:
    return dedent("".join(frame[0] for frame in frames))
