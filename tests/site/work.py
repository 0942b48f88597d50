"""Functions that tests send to engines."""

import time

FACTOR = 3


def hello(**kwargs):
    kwargs["status_update"]("I'm about to say hello")
    return "hi!"


def triple(number):
    return number * FACTOR


def held_until(path, **kwargs):
    """Run until a file is there, so that a test can look at a job that runs."""
    from pathlib import Path

    kwargs["status_update"]("holding")
    while not Path(path).exists():
        time.sleep(0.01)
    return "released"


def tell_at(gate, told, status_update):
    """Say something once a file is there, and note in another one that it was said."""
    from pathlib import Path

    held_until(gate, status_update=status_update)
    status_update("nobody hears this")
    Path(told).touch()
    return "told"


async def twice(number):
    return number * 2


def count_users():
    from django.contrib.auth import get_user_model

    return get_user_model().objects.count()


def leave():
    raise SystemExit(3)


def interrupt():
    raise KeyboardInterrupt


class Machine:
    def __init__(self, number):
        self.number = number

    def work(self, other):
        return self.number + other


def held(gate, told):
    """Say who runs it, and run until a file is there; note in another one how that ended."""
    import os
    from pathlib import Path

    from moi_django.engine.runner import engine_id

    Path(f"{told}.pid").write_text(f"{os.getpid()} {engine_id()}")
    try:
        while not Path(gate).exists():
            time.sleep(0.01)
    except KeyboardInterrupt:
        Path(told).write_text("interrupted")
        raise
    Path(told).write_text("done")
    return "released"


def stubborn(gate, told):
    """Do what `held` does, whatever interrupts it."""
    while True:
        try:
            return held(gate, told)
        except KeyboardInterrupt:
            continue


def note(path):
    """Add a line to a file."""
    with open(path, "a") as file:
        file.write("ran\n")
    return "noted"


def fails_until(path, times):
    """Fail so many times."""
    from pathlib import Path

    note(path)
    runs = len(Path(path).read_text().splitlines())
    if runs <= times:
        raise ValueError(f"run {runs} fails")
    return runs


def prints_until(path, times):
    """Print something, and fail so many times."""
    print("it runs", end="")
    return fails_until(path, times)


def dies_until(path, times):
    """Kill the engine so many times."""
    import os
    import signal

    try:
        return fails_until(path, times)
    except ValueError:
        os.kill(os.getpid(), signal.SIGKILL)


def keeps_the_interpreter(seconds):
    """Sleep as C code does that was not written for Python's threads."""
    import ctypes

    return ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def speak(gate, **kwargs):
    """Print and log in every way, wait, and print once more."""
    import logging
    import sys
    import threading

    print("to stdout")
    print("to stderr", file=sys.stderr)
    sys.stdout.buffer.write(b"bytes \xff\n")
    thread = threading.Thread(target=print, args=["from a thread"])
    thread.start()
    thread.join()
    logging.getLogger("lab").info("logged %s", "softly")
    logging.getLogger("lab").warning("logged loudly")
    held_until(gate, status_update=kwargs["status_update"])
    print("at the end", end="")


def speak_by_others():
    """Print in every way in which this process does not do it itself, and between them."""
    import logging
    import multiprocessing
    import os
    import subprocess
    import sys

    print("python")
    subprocess.run(["echo", "echo"], check=True)
    print("python again")
    subprocess.run(["echo", "echo to stdout"], stdout=sys.stdout, check=True)
    os.write(1, b"descriptor\n")
    subprocess.run("echo echo to stderr >&2", shell=True, check=True)
    for method in ("fork", "spawn"):
        child = multiprocessing.get_context(method).Process(target=print, args=[method])
        child.start()
        child.join()
    child = multiprocessing.get_context("fork").Process(
        target=logging.getLogger("lab").warning, args=["logged by a fork"]
    )
    child.start()
    child.join()
    print("python at last", end="")


def count_descriptors():
    """Return this process, how many descriptors it has, and how many threads."""
    import os
    import subprocess
    import threading

    import psutil

    subprocess.run(["echo", "x"], check=True)
    return [os.getpid(), psutil.Process().num_fds(), threading.active_count()]


def log_as_it_likes(level):
    """Set up logging by itself, log, and return how many handlers there were before."""
    import logging

    before = len(logging.getLogger().handlers)
    logging.basicConfig(level=level, format="mine: %(message)s")
    logging.getLogger("lab").debug("in detail")
    logging.getLogger("lab").error("loud")
    logging.disable(logging.CRITICAL)
    return before


def print_lines(number):
    for line in range(number):
        print(f"line {line}")


def count_with_kwargs(**kwargs):
    for number in kwargs["moi_track"](range(4)):
        kwargs["moi_progress"](number, 4)


def count_with_functions(gate):
    from moi_django import current_job, progress, track

    progress(0.25)
    held_until(gate, status_update=current_job().status_update)
    total = sum(track([1, 2, 3]))
    return [total, current_job().name, current_job().attempt]


def count_to_nan(gate):
    from pathlib import Path

    from moi_django import progress

    progress(1, 2)
    print("said")
    while not Path(gate).exists():
        for number in (float("inf"), float("nan")):
            progress(1, number)
            progress(number)
            progress(number, 10)


def count_with_tqdm(gate):
    from tqdm.auto import tqdm

    for _ in tqdm(range(10), mininterval=0):
        for _ in tqdm(range(7), mininterval=0, leave=False):
            pass
    held_until(gate, status_update=lambda text: None)


def count_a_generator(gate):
    from moi_django import current_job, track

    number = sum(1 for _ in track(iter("abc")))
    held_until(gate, status_update=current_job().status_update)
    return number


def count_with_tqdm_without_end(gate):
    from tqdm.auto import tqdm

    number = sum(1 for _ in tqdm(iter("abc"), mininterval=0))
    held_until(gate, status_update=lambda text: None)
    return number


def figure():
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(2, 1))
    drawn.subplots().plot([1, 3, 2])
    return drawn


def table():
    import pandas

    return pandas.DataFrame({"name": ["<b>a</b>", "b"], "value": [1, 2]})


def image():
    from PIL import Image

    return Image.new("RGB", (4, 3), "red")


def markdown():
    from IPython.display import Markdown

    return Markdown("# A title")


class Odd(dict):
    """A result that shows itself in ways of its own; pages without them see `kept`."""

    def __init__(self, how):
        super().__init__(kept=True)
        self.how = how

    def _repr_mimebundle_(self, include=None, exclude=None):
        if self.how == "no text":
            return {"text/html": {1, 2}, "text/markdown": "*shown*"}
        return None

    def _repr_html_(self):
        if self.how == "leaves":
            raise SystemExit
        if self.how == "fails":
            raise ValueError("no HTML today")
        return "<b>shown</b>" + "x" * 3_000_000 * (self.how == "long")


def show_itself(how):
    return Odd(how)


def json_tree():
    from IPython.display import JSON

    return JSON({"leaves": [1, 2]})


def display_some():
    import pandas
    from IPython.display import clear_output, display

    display(pandas.DataFrame({"name": ["ada"]}), "text")
    display({"image/png": b""}, raw=True)
    clear_output()
    print("printed")


def attach_files(path):
    from moi_django import attach

    attach("table.csv", b"a,b\n1,2\n")
    attach("notes.txt", path)
    attach("table.csv", b"a,b\n3,4\n")
    return "attached"


def attach_nonsense(name, content):
    from moi_django import attach

    attach(name, content)


def held_with(path, status, **kwargs):
    """Run until a file is there, with a status."""
    kwargs["status_update"](status)
    return held_until(path, status_update=lambda text: None)


def halves(number, status_update):
    """Stop at a breakpoint on the way."""
    status_update("halving")
    breakpoint()
    return [number // 2, 1 / (number - 4)]
