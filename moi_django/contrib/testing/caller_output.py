"""What a job prints and logs where it runs in its caller: kept, and printed as well."""

import codecs
import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from moi_django.engine.job_output import JobLogHandler, follow_logging

# Takes the name of a stream and a text.
Tell = Callable[[str, str], object]


@contextmanager
def capture(tell: Tell) -> Iterator[None]:
    """Tell what is printed and logged in the block."""
    out, err = _Printed("stdout", tell), _Printed("stderr", tell)
    try:
        with redirect_stdout(out.stream), redirect_stderr(err.stream), _logged(tell):
            yield
    finally:
        out.let_go()
        err.let_go()


class _Printed(io.BufferedIOBase):
    """What is written to a stream of this process."""

    def __init__(self, name: str, tell: Tell) -> None:
        stream: Any = getattr(sys, name)
        # What a job prints that another one has submitted is not the output of that one.
        self.original = stream.buffer.original if is_ours(stream) else stream
        self._name, self._tell = name, tell
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.stream = io.TextIOWrapper(
            self,  # type: ignore[type-var]
            "utf-8",
            "backslashreplace",
            write_through=True,
        )

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self.original.fileno())

    def isatty(self) -> bool:
        return False

    def write(self, data: Any, /) -> int:
        if text := self._decode(bytes(data)):
            self._tell(self._name, text)
            self.original.write(text)
        return len(data)

    def flush(self) -> None:
        # Python does so too when nobody has the stream any more, whatever was closed before it.
        if not self.original.closed:
            self.original.flush()

    def let_go(self) -> None:
        """Tell no more: who has kept the stream prints without the job."""
        self._tell = lambda name, text: None


def is_ours(stream: Any) -> bool:
    """Tell whether a stream tells a job what is printed."""
    return isinstance(getattr(stream, "buffer", None), _Printed)


class _CallerLogHandler(JobLogHandler):
    """Hands on what is logged in a job."""

    def _streams(self) -> tuple[Any, ...]:
        # What handlers of the site print to is not told to the job.
        return sys.stdout, sys.stderr


@contextmanager
def _logged(tell: Tell) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, basic_config = [*root.handlers], root.level, logging.basicConfig
    others = [each for each in handlers if not isinstance(each, _CallerLogHandler)]
    # Those of pytest are not the site's.
    is_set_up = [each for each in others if not type(each).__module__.startswith("_pytest.")]
    try:
        root.handlers[:] = is_set_up
        follow_logging(_CallerLogHandler(lambda text: tell("log", text)))
        root.handlers += [each for each in others if each not in is_set_up]
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.basicConfig = basic_config
