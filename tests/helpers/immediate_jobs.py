"""Functions of jobs that run in who submits them."""

import asyncio
import logging
import sys

from django.contrib.auth import get_user_model
from django.db import IntegrityError
from django.utils import translation

from moi_django import Options, asubmit, attach, ctx_default, current_job, submit, track

logger = logging.getLogger(__name__)
# What attempts have left in this process.
left = []


def speak():
    print("printed", flush=True)
    sys.stdout.buffer.write("bytes ü\n".encode())
    print("an error", file=sys.stderr)
    logger.info("logged")


def report(count, status_update=None, moi_context=None, moi_parent_id=None):
    status_update("half way")
    done = list(track(range(count)))
    attach("done.txt", b"all of it")
    attach("large.bin", b"x" * 2_000_000)
    return {"done": done, "context": moi_context, "parent": moi_parent_id, "set": {1}}


def fail():
    raise ValueError("no such molecule")


def fail_twice():
    left.append(current_job().attempt)
    if len(left) < 3:
        raise OSError("away")
    return left


def count_users():
    return get_user_model().objects.count()


async def count_users_async():
    await asyncio.sleep(0)
    return await get_user_model().objects.acount()


def create_ada_again():
    get_user_model().objects.create(username="bob")
    get_user_model().objects.create(username="ada")


def create_ada_or_bob():
    try:
        get_user_model().objects.create(username="ada")
    except IntegrityError:
        return "there is one"


def submit_and_wait(owner):
    jobs = [submit(ctx_default, owner, "inner", None, abs, -number) for number in range(3)]
    values = [job.value() for job in jobs]
    print("outer")
    return [*values, current_job().name]


async def submit_and_wait_async(owner):
    job = await asubmit(ctx_default, owner, "inner", None, print, "inner")
    await asyncio.to_thread(job.wait)
    return job.status


def press_ctrl_c():
    raise KeyboardInterrupt


def leave(code):
    sys.exit(code)


def keep_stdout():
    left.append(sys.stdout)


def set_up_logging():
    logging.basicConfig(level=logging.DEBUG, force=True)
    logger.debug("in detail")


async def fail_without_bob_async():
    return (await get_user_model().objects.aget(username="bob")).username


def wait_in_vain(owner):
    return submit(ctx_default, owner, "inner", None, abs, -1, options=Options(limit="few")).value()


def speak_italian():
    before = translation.get_language()
    translation.activate("it")
    return before
