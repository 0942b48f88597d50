"""Functions that are called with each item of a map; imported by engines too."""

import os
import time
from pathlib import Path

import psutil


def divide(number, dividend):
    """Return a quotient, and the process that has found it."""
    return [dividend / number, os.getpid()]


def note(item, path):
    """Add an item to a file."""
    with Path(path).open("a") as file:
        file.write(f"{item}\n")
    return item


def noted(path):
    """Return the items that were noted."""
    return [int(line) for line in Path(path).read_text().split()]


def note_and_hold(item, path, held, gate):
    """Note an item; wait with one of them until a file is there."""
    note(item, path)
    while item == held and not Path(gate).exists():
        time.sleep(0.01)
    return item


def fail_first(item, path, failing):
    """Note an item; fail with some of them when that has not been done before."""
    if item in failing and item not in noted(path):
        note(item, path)
        raise ValueError(f"{item} fails")
    return note(item, path)


def kill_engine_at(item, path, last):
    """Note an item; kill the engine with one of them."""
    note(item, path)
    if item == last:
        psutil.Process().parent().parent().kill()
        time.sleep(60)  # until this process is killed, too
    return item


_calls = []


def count_calls(item):
    """Return an item, and how many items this process has had."""
    _calls.append(item)
    return [item, len(_calls)]


def map_below(number, moi):
    """Wait for the results of a map of its own."""
    from django.conf import settings

    settings.MOI = moi
    from moi_django import Group

    return Group.map(abs, range(-number, 0), owner="no-user", name="below").results(30)
