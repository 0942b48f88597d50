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
