"""What jobs may do to their process; imported in the fork server of the tests."""

import asyncio
import atexit
import concurrent.futures
import contextlib
import ctypes
import decimal
import json
import locale
import logging
import multiprocessing
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy

from moi_django import MoiError, current_job

kept_stdout = sys.stdout
logger = logging.getLogger("kept")
logger.addHandler(logging.StreamHandler(sys.stderr))
logger.propagate = False
forks = multiprocessing.get_context("fork")


def hold():
    while True:
        time.sleep(1)


def search():
    re.match(r"(a+)+$", "a" * 40 + "b")


def end_with_signal(number):
    os.kill(os.getpid(), number)
    hold()


def print_and_leave(code):
    print("so far so good")
    os._exit(code)


def ignore_signals(path):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    Path(path).touch()
    hold()


def block_signals(path=None):
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if path:
        Path(path).touch()
    hold()


def catch_interrupt():
    try:
        hold()
    except KeyboardInterrupt:
        return "caught"


def return_twice():
    return "twice" if os.fork() else "copy"


def exit_in_fork(code):
    pid = os.fork()
    if pid == 0:
        sys.exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def report_from_fork():
    pid = os.fork()
    current_job().status_update("child" if pid == 0 else "parent")
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def use_pool():
    with forks.Pool(2) as pool:
        return pool.map(abs, [-1, -2, -3])


def use_executor():
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=forks) as pool:
        return list(pool.map(abs, [-1, -2]))


def terminate_process():
    process = forks.Process(target=hold)
    process.start()
    process.terminate()
    process.join()
    return process.exitcode


def leave_shared_memory():
    from multiprocessing.shared_memory import SharedMemory

    return SharedMemory(create=True, size=1000).name


def run_click(*arguments):
    import click

    @click.command()
    @click.argument("name")
    def greet(name):
        click.echo(f"Hello {name}")

    greet(arguments)


def use_asyncio():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = asyncio.get_event_loop().run_until_complete(asyncio.sleep(0, 3))
    return [first, asyncio.run(asyncio.sleep(0, 4))]


async def coroutine():
    await asyncio.sleep(0)
    return "awaited"


def print_by_all():
    libc = ctypes.CDLL(None)
    print("Python")
    libc.puts(b"C")
    os.system("echo shell")
    print("no end", end=" ")
    os.system("echo shell")
    os.write(1, b"raw\n")
    sys.stdout.buffer.write(b"bytes\n")
    libc.puts(b"C again")


def print_alternately(count):
    for number in range(count):
        print(number)
        print(number, file=sys.stderr)
        logging.warning("%s", number)


def print_halves():
    for half in (b"\xc3", b"\xa9"):
        os.write(1, half)
        current_job().attach("x", b"")  # is over when all before it was read
    os.write(1, b"\xff\xe4")
    print("\udcff")


def print_much(size):
    sys.stdout.write("x" * size)


def print_from_old_streams():
    print("kept", file=kept_stdout)
    print("original", file=sys.__stdout__)
    logger.warning("handler")


def log_some():
    logging.getLogger("some").info("told")
    logging.getLogger("some").debug("not told")


def log_as_configured():
    logging.basicConfig(format="mine %(message)s", stream=sys.stdout, level="DEBUG")
    logging.debug("told")


def replace_streams():
    sys.stdout = sys.stderr = None
    os.close(1)
    os.close(2)
    return "silent"


def use_memory(size):
    data = b"x" * size
    hold()
    return data


def spawn_memory(size):
    process = forks.Process(target=use_memory, args=(size,))
    process.start()
    process.join()


def break_json():
    json.dumps = json.loads = json.JSONEncoder.encode = None
    return {"a": [1, "b"]}


def break_sockets():
    socket.socket.send = socket.socket.sendall = None
    os.write = os.read = None
    return "sent"


def use_up_descriptors(raises):
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        while True:
            os.dup(0)
    except OSError:
        if raises:
            raise
    return "all"


def close_descriptors():
    os.closerange(3, 1000)
    return "closed"


def leave_daemon(path):
    """Leave a process that is in a session of its own, and an orphan."""
    script = f"setsid sh -c 'echo $$ > {path}.part; mv {path}.part {path}; exec sleep 600' &"
    subprocess.run(script, shell=True, check=True)
    while not Path(path).exists():
        time.sleep(0.01)


def leave_child():
    return subprocess.Popen(["sleep", "600"]).pid


def leave_thread(seconds):
    def work():
        time.sleep(seconds)
        print("thread")

    atexit.register(print, "at exit")
    threading.Thread(target=work).start()
    return "result"


def change_everything(directory):
    os.chdir(directory)
    os.environ["ODD"] = "1"
    os.umask(0o123)
    locale.setlocale(locale.LC_ALL, "C")
    decimal.getcontext().prec = 3
    warnings.simplefilter("error")
    logging.disable()
    kept_state["figure"] = "foreign"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


kept_state = {}


def show_everything():
    umask = os.umask(0o22)
    return [
        *(os.getcwd(), os.environ.get("ODD"), umask, locale.setlocale(locale.LC_ALL)),
        *(decimal.getcontext().prec, len(warnings.filters), logging.root.manager.disable),
        *(kept_state, signal.getsignal(signal.SIGTERM)),
    ]


def draw_numbers():
    return [random.random(), float(numpy.random.random())]


def attach_and_print(name, path):
    """Attach a file in a thread; print meanwhile, until there is a file at a path."""

    def attach():
        job.attach(name, b"content")
        print("attached", flush=True)

    job = current_job()
    threading.Thread(target=attach, daemon=True).start()
    while not os.path.exists(path):
        print("busy", flush=True)
        time.sleep(0.01)


def leave_attaching(name):
    """Attach in a thread, and return before that is done."""
    job = current_job()
    threading.Thread(target=lambda: job.attach(name, b"late"), daemon=True).start()
    time.sleep(0.05)


def give_up_attaching(name):
    """Attach for a moment at most, as by an alarm."""

    def stop(*args):
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with contextlib.suppress(TimeoutError):
        current_job().attach(name, b"slow")


_thread_may_go_on = threading.Event()


def leave_a_thread_that_speaks_later():
    """Let a thread speak as this job when another one has the process."""
    job = current_job()

    def speak():
        _thread_may_go_on.wait(30)
        job.status_update("I am another job")
        with contextlib.suppress(Exception):
            job.attach("of another job", b"x")

    threading.Thread(target=speak, daemon=True).start()


def let_it_speak():
    _thread_may_go_on.set()
    time.sleep(0.2)


def attach_some(path):
    current_job().attach("a.txt", b"a")
    current_job().attach("b.txt", b"b" * 3_000_000)
    current_job().attach("c.txt", path)
    errors = []
    for name, content in (("refused", b""), ("odd", 7), (7, b"")):
        try:
            current_job().attach(name, content)
        except Exception as error:
            errors.append([type(error).__name__, str(error)])
    return errors


def attach_in_vain(*names):
    """Attach files, and make nothing of it when one cannot be kept."""
    for name in names:
        with contextlib.suppress(MoiError):
            current_job().attach(name, b"content")


def say_statuses():
    job = current_job()
    return [job.status_update("one"), job.status_update("two\udcff"), job.status_update("x" * 500)]


def count_far(count):
    job = current_job()
    for number in range(count):
        job.progress(number + 1, count)


def wait_in_turn():
    with current_job().note_wait("a-job"), current_job().note_wait("another"):
        pass


def raise_alarm(seconds):
    """Be interrupted in the middle of whatever is said."""

    def expire(*_):
        raise TimeoutError("alarm")

    signal.signal(signal.SIGALRM, expire)
    interrupted = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 3e-4))
            while True:
                current_job().status_update("x" * 200)
        except TimeoutError:
            interrupted += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    return interrupted > 10


def send_raw(data):
    """Write to the socket as the job's process does."""
    from moi_django.engine import job_process

    os.write(job_process._connection.descriptor, data)
    hold()


def count_calls(calls=[]):  # noqa: B006 - it is kept on purpose
    calls.append(1)
    return [os.getpid(), len(calls)]


def imported(*names):
    return [name for name in names if name in sys.modules]


def open_descriptors():
    return sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1]


def environment():
    return dict(os.environ)
