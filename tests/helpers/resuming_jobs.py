"""Functions of jobs that go on where they were; imported in fork servers and on engines."""

import os
import signal
import time
from pathlib import Path

from moi_django import checkpoint, current_job, resume, track


def keep(*values):
    """Keep some values, and return what is kept before and after each."""
    kept = [resume("nothing")]
    for value in values:
        checkpoint(value)
        kept.append(resume())
    return kept


def keep_by_keyword(value, moi_checkpoint, moi_resume):
    before = moi_resume(0)
    moi_checkpoint(value)
    return before


def change_what_was_kept():
    checkpoint([1])
    resume().append(2)
    return resume()


def keep_and_die(value, number=signal.SIGKILL):
    checkpoint(value)
    os.kill(os.getpid(), number)
    time.sleep(60)


def keep_in_a_fork():
    checkpoint("parent")
    if not (pid := os.fork()):
        checkpoint("child")
        os._exit(0)
    os.waitpid(pid, 0)


def keep_often(count):
    for number in range(count):
        checkpoint(number)


def count(number, fail_at=None, leave_at=None, then=None):
    """Go through numbers; fail at one, or leave the loop. Return those that were met."""
    met = []
    for each in track(iter(range(number)), resume=True):
        if each == fail_at:
            raise ValueError(f"fails at {each}")
        if each == leave_at:
            break
        met.append(each)
    if then is not None:
        os.kill(os.getpid(), then)
        time.sleep(60)
    return met


def count_with_a_kept_loop(number, fail_at):
    """Do so with a generator that lives as long as the traceback."""
    loop = track(range(number), resume=True)
    for each in loop:
        if each == fail_at:
            raise ValueError(f"fails at {each}")


def count_twice():
    return [list(track("abc", resume=True)), list(track("def", resume=True))]


def keep_and_count(value):
    checkpoint(value)
    return list(track("abc", resume=True))


def note(directory, item):
    """Note that an item was worked on, in which attempt."""
    with open(Path(directory) / "noted", "a") as file:
        file.write(f"{item} in {current_job().attempt}\n")


def work_through(directory, number, fail_at, how="raise"):
    """Work on so many items; end in some way at one of them while it is the first time."""
    first = Path(directory) / "was here"
    for item in track(range(number), resume=True):
        if item == fail_at and not first.exists():
            first.touch()
            end(how, directory)
        note(directory, item)
    return resume()


def end(how, directory):
    if how == "raise":
        raise ValueError("fails")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "kill the engine":
        import psutil

        while not (Path(directory) / "gate").exists():
            time.sleep(0.01)
        psutil.Process().parent().parent().kill()
    time.sleep(60)
