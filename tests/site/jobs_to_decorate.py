"""Decorated functions that tests send to engines."""

from moi_django import current_job, job

LOADED = []


@job
def triple(number):
    LOADED.append(number)
    return [number * 3, len(LOADED), __name__]


@job(name="A slow greeting", context="default", url="/greetings", retries=1, backoff=0)
def greet(name, greeting="Hello", *, options=None, status_update):
    """Say hello."""
    status_update("greeting")
    if current_job().attempt == 1:
        raise ValueError("speechless")
    return [f"{greeting}, {name}!", options]


@job
async def twice(number):
    return number * 2


@job
def factorial(number):
    return number * factorial(number - 1) if number else 1


@job
def fail():
    raise ValueError("on purpose")
