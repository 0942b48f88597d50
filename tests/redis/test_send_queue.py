"""However much happens and however slow a page is, little waits for it, in order."""

import asyncio

import pytest

from moi_django.protocol.send_queue import SendQueue
from tests.helpers.send_queue import running, until

pytestmark = pytest.mark.django_db


class Client:
    """Takes frames while its gate is open, and counts those that wait at it."""

    def __init__(self):
        self.gate, self.frames = asyncio.Event(), []
        self.gate.set()

    async def __call__(self, text):
        await self.gate.wait()
        self.frames.append(text)


async def test_of_each_job_the_latest_waits(moi):
    client = Client()
    send_queue = SendQueue(client)
    task = await running(send_queue)
    client.gate.clear()
    for version in range(1000):
        for job in range(10):
            send_queue.put_update("root", ("update", f"job {job}", f"{version}"))
        await asyncio.sleep(0)
    client.gate.set()
    await until(lambda: client.frames.count('{"update": 999}') == 10)
    # Those that were on their way when the client stopped to read, and one for each job.
    assert len(client.frames) <= 11
    task.cancel()


async def test_answers_do_not_wait_for_the_next_push(moi):
    moi["PUSH_EVERY"] = 1000
    client = Client()
    send_queue = SendQueue(client)
    task = await running(send_queue)
    send_queue.put_update("root", ("update", "a", "1"))
    await until(lambda: client.frames == ['{"update": 1}'])
    send_queue.put_update("root", ("update", "a", "2"))
    send_queue.enqueue_frame("live", "true")
    await until(lambda: client.frames[1:] == ['{"live": true}'])
    assert send_queue.has_update("a")
    send_queue.drop_updates()
    assert not send_queue.has_update("a")
    task.cancel()


async def test_what_comes_fast_comes_in_the_end(moi):
    moi["PUSH_EVERY"] = 0.001
    client = Client()
    send_queue = SendQueue(client)
    task = await running(send_queue)
    for number in range(500):
        send_queue.put_update("root", ("update", "a", f"{number}"))
        await asyncio.sleep(0.0001)
    await until(lambda: client.frames[-1:] == ['{"update": 499}'])
    task.cancel()


@pytest.mark.parametrize(
    ("before", "verb", "told"),
    [
        ("add", "update", "add"),
        ("add", "count", "add"),
        ("update", "count", "update"),
        ("count", "update", "update"),
        ("add", "remove", "remove"),
        ("remove", "add", "add"),
    ],
)
async def test_two_changes_of_one_job_are_told_as_one(moi, before, verb, told):
    client = Client()
    send_queue = SendQueue(client)
    send_queue.put_update("one", (before, "a", "1"))
    send_queue.put_update("two", (verb, "a", "2"))
    task = await running(send_queue)
    await until(lambda: client.frames == [f'{{"{told}": 2}}'])
    task.cancel()


async def test_a_client_that_does_not_read_is_given_up(moi):
    moi["SEND_TIMEOUT"] = 0.05
    client = Client()
    client.gate.clear()
    send_queue = SendQueue(client)
    task = await running(send_queue)
    send_queue.put_update("root", ("update", "a", "1"))
    with pytest.raises(TimeoutError):
        await task
