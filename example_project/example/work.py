"""The long computations of this site: ordinary functions that know nothing of the web."""

import time


def say_hello(name, **kwargs):
    """Greet somebody, after some thought."""
    kwargs["status_update"]("I'm about to say hello")
    time.sleep(5)
    return f"hello from {name}!"


def count_stars(status_update):
    """Work through many steps and tell how far it is."""
    counted = 0
    for field in range(1, 13):
        status_update(f"Counting the stars of field {field} of 12")
        time.sleep(1.5)
        counted += 40 + field * field % 17
    return {"fields": 12, "stars": counted}


def divide(dividend, divisor):
    """Fail, when it is asked to divide by zero."""
    return dividend / divisor
