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

    try:
        Path(f"{told}.pid").write_text(f"{os.getpid()}\n")
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
    import psutil

    try:
        return fails_until(path, times)
    except ValueError:
        fork_server = psutil.Process().parent()
        fork_server.parent().kill()
        time.sleep(60)  # until the fork server notices


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
    """Return the engine, how many descriptors it has, threads, and processes below it."""
    import subprocess

    import psutil

    subprocess.run(["echo", "x"], check=True)
    engine = psutil.Process().parent().parent()
    below = len(engine.children(recursive=True))
    return [engine.pid, engine.num_fds(), engine.num_threads(), below]


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


def in_turn(first, second):
    """Call two functions in one process; return what the second returns."""
    first()
    return second()


def draw():
    """Leave a figure as the current one."""
    from matplotlib import pyplot

    pyplot.plot([1, 2], label="foreign")
    pyplot.title("foreign")
    pyplot.rcParams["lines.linewidth"] = 9


def drawn():
    """Return what a job finds that draws into the current figure."""
    from matplotlib import pyplot

    open_figures = pyplot.get_fignums()
    axes = pyplot.gca()
    labels = [line.get_label() for line in axes.lines]
    return [open_figures, labels, axes.get_title(), pyplot.rcParams["lines.linewidth"]]


def silence_loggers():
    import logging.config

    logging.getLogger("lab")
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
    logging.disable(logging.WARNING)


def log_loudly():
    """Log, and tell whether somebody takes it."""
    import logging

    logger = logging.getLogger("lab")
    logger.warning("loud")
    return logger.isEnabledFor(logging.WARNING) and not logger.disabled


def go_abroad():
    """Change the language and the time zone."""
    from django.utils import timezone, translation

    translation.activate("de")
    timezone.activate("Asia/Tokyo")


def where():
    """Return the language and the time zone."""
    from django.utils import timezone, translation

    return [translation.get_language(), timezone.get_current_timezone_name()]


def change_process():
    """Change all that a process has but once."""
    import decimal
    import locale
    import os
    import signal
    import sys
    import warnings

    os.chdir("/")
    os.umask(0o123)
    os.environ["FOREIGN"] = "1"
    decimal.getcontext().prec = 3
    warnings.simplefilter("error")
    locale.setlocale(locale.LC_ALL, "C")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    sys.path.insert(0, "/foreign")
    sys.argv[:] = ["foreign"]


def process_as_found():
    """Return what `change_process` changes."""
    import decimal
    import locale
    import os
    import signal
    import sys
    import warnings

    return {
        "directory": os.getcwd(),
        "umask": os.umask(0o22),
        "environment": sorted(os.environ),
        "precision": decimal.getcontext().prec,
        "warnings": len(warnings.filters),
        "locale": locale.setlocale(locale.LC_ALL),
        "handler": str(signal.getsignal(signal.SIGTERM)),
        "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        "path": sys.path,
        "argv": sys.argv,
    }


async def acount_users():
    from django.contrib.auth import get_user_model

    return await get_user_model().objects.acount()


async def lose_database():
    """Use the database, and leave its connection as one that the server has cut."""
    from asgiref.sync import sync_to_async
    from django.db import connection

    await acount_users()
    await sync_to_async(lambda: connection.connection.close())()


def use_joblib():
    from joblib import Parallel, delayed

    return Parallel(n_jobs=2)(delayed(abs)(-number) for number in range(3))


def run_source(source):
    """Run a script; return what it calls `value`."""
    namespace = {"__name__": "__main__"}
    exec(source, namespace)
    return namespace["value"]


def draw_number():
    import numpy

    return float(numpy.random.random())


def works_and_fails(path, times):
    """Use some CPU seconds and memory, and fail so many times."""
    ballast = b"x" * 100_000_000
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    del ballast
    return fails_until(path, times)


def fork_and_hold(path):
    """Hold in two processes which heed no signal; say when both do."""
    import os
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    pid = os.fork()
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(600)
    return pid


def send(moi, name, function, *args, context="default", **options):
    """Submit a job from within one, to the site of a test."""
    from django.conf import settings

    from moi_django import Options, submit

    settings.MOI = moi
    return submit(context, "ada", name, None, function, *args, options=Options(**options))


def descend(moi, depth):
    """Wait for a job that does the same one level lower; return the processes of all."""
    import os

    if depth == 0:
        return [os.getpid()]
    return [os.getpid(), *send(moi, f"level {depth - 1}", descend, moi, depth - 1).value(60)]


def descend_through(moi, contexts):
    """Wait for a job of the first context that does the same with the others; return how deep."""
    if not contexts:
        return 0
    name = f"of {contexts[0]}"
    job = send(moi, name, descend_through, moi, contexts[1:], context=contexts[0])
    return job.value(60) + 1


def add_up(moi, numbers):
    """Submit a job for each number and wait for all of them."""
    jobs = [send(moi, f"triple {number}", triple, number) for number in numbers]
    return sum(job.value(60) for job in jobs)


def wait_for_held(moi, child_gate, gate, status_update):
    """Wait for a job that runs until one file is there, and run until another one is."""
    status_update("half way")
    value = send(moi, "child", held_until, child_gate).value(60)
    held_until(gate, status_update=lambda text: None)
    return value


def wait_for_retried(moi, path, times):
    """Wait for a job that fails so many times before."""
    return send(moi, "child", fails_until, path, times, retries=times, backoff=0).value(60)


def give_up(moi, gate, timeout):
    """Wait for a job for so many seconds, and again as long as it has not begun."""
    from contextlib import suppress

    job = send(moi, "child", held_until, gate)
    while job.refresh().state != "running":
        with suppress(TimeoutError):
            job.wait(timeout)
    return job.id


def wait_twice(moi, path, times, timeout):
    """Wait for a job that fails so many times before, for a moment and then to its end."""
    job = send(moi, "child", fails_until, path, times, retries=times, backoff=0)
    try:
        return job.value(timeout)
    except TimeoutError:
        return job.value(60)


def wait_elsewhere(moi, is_stubborn, status_update):
    """Wait for a job which no engine takes."""
    import signal

    job = send(moi, "child", triple, 1, context="other")
    if is_stubborn:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    job.wait()


def crash_while_waiting(moi):
    """Wait for a job which no engine takes, and be killed."""
    import os
    import threading

    threading.Timer(0.5, os.abort).start()
    send(moi, "child", triple, 1, context="other").wait()


def wait_for_each(moi, ids):
    """Wait for jobs that others wait for, too."""
    from django.conf import settings

    from moi_django import Job

    settings.MOI = moi
    return [Job.get(id).value(60) for id in ids]


def wait_in_threads(moi, path, number):
    """Wait at once for several jobs, which wait in step for the same ones."""
    from concurrent.futures import ThreadPoolExecutor

    ids = [send(moi, "noted", note, path).id for _ in range(20)]
    jobs = [send(moi, f"waits {n}", wait_for_each, moi, ids) for n in range(number)]
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda job: job.value(60), jobs))


_calls = []


def count_calls():
    """Return the process, and how often it has been called there."""
    import os

    _calls.append(1)
    return [os.getpid(), len(_calls)]


def share_memory(size, number):
    """Have so many forks which all use the same memory, for as long as its limit is looked at."""
    import multiprocessing

    ballast = b"x" * size
    with multiprocessing.get_context("fork").Pool(number) as pool:
        pool.map(time.sleep, [1.0] * number)
    return len(ballast)


def use_pool(method):
    """Use a pool of processes that are started in a certain way, and one of an executor."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        found = pool.map(triple, [1, 2, 3])
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        return [*found, *executor.map(triple, [4, 5])]


def share_with_child(moi):
    """Wait for a job that asks for the same process; return both."""
    import os

    return [os.getpid(), send(moi, "child", count_calls, process="warm").value(60)[0]]


def collect(values, more):
    """Return what it is given."""
    return {"values": values, "more": more}


def wait_for_chain(moi, length):
    """Wait for the last of some jobs, each of which gets the result of the one before."""
    job = send(moi, "first", triple, 1)
    for number in range(length - 1):
        job = send(moi, f"next {number}", triple, job)
    return job.value(60)
