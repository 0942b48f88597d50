"""Tasks of Django's interface that tests send; imported where there is such an interface."""

import asyncio
import os
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec

from moi_django import Options, current_job
from tests.site import work

HOME = "django.tasks" if find_spec("django.tasks") else "django_tasks"
interface = import_module(HOME)
signals = import_module(f"{HOME}.signals")
task = interface.task


class Odd(Exception):
    pass


@task
def add(*numbers, **more):
    print("adding")
    return sum(numbers) + sum(more.values())


@task
def fail():
    raise Odd(Odd("on purpose"))


@task
async def wait_and_add(one, two):
    await asyncio.sleep(0)
    return one + two


@task(takes_context=True)
def who(context, more):
    """Return what the context tells, and what there is of the job besides."""
    result = context.task_result
    found = [result.id, context.attempt, result.status, len(result.worker_ids), more]
    return [*found, result.started_at >= result.enqueued_at, current_job().id]


@task
def unfit():
    return {1, 2}


@task
def pair():
    return (1, b"two")


@task
def hold(gate, told):
    return work.held(gate, told)


@task
def note(path, text):
    with open(path, "a") as file:
        file.write(f"{text}\n")


@task(backend="hurried", takes_context=True)
def second_time(context, path):
    """Fail in the first attempt."""
    note.call(path, context.attempt)
    if context.attempt == 1:
        raise Odd("too early")
    return context.attempt


@task(backend="hurried")
def die():
    os.kill(os.getpid(), 9)


@task
def ask_for_status(text, status_update):
    return status_update(text)


@task
def heard(path, fails):
    """Note each signal that is sent from now on."""

    def hear(sender, task_result, **kwargs):
        note.call(path, f"{sender.__name__} {task_result.status} {len(task_result.errors)}")

    signals.task_finished.connect(hear, weak=False)
    if fails:
        raise Odd


def plain():
    return 1


# Its function has another name.
renamed = task(plain)
impatient = replace(hold, options=Options(timeout=0.3))
