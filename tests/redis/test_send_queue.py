"""However much happens and however slow a page is, little waits for it, in order."""

import asyncio

import pytest

from tests.helpers.send_queue import queue_for, until

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
    send_queue, _ = queue_for(client)
    client.gate.clear()
    for version in range(1000):
        for job in range(10):
            send_queue.put_update("root", ("update", f"job {job}", f"{version}", ""))
        await asyncio.sleep(0)
    client.gate.set()
    await until(lambda: client.frames.count('{"update": 999}') == 10)
    # The one that was on its way when the client stopped to read, and one for each job.
    assert len(client.frames) <= 11


async def test_answers_come_before_changes(moi):
    client = Client()
    send_queue, tasks = queue_for(client)
    client.gate.clear()
    for number in range(3):
        send_queue.put_update("root", ("update", f"{number}", f"{number}", ""))
    await until(lambda: not send_queue.has_update("0"))  # it is on its way
    send_queue.enqueue_frame("live", "true")
    client.gate.set()
    await until(lambda: len(client.frames) == 4)
    assert client.frames[:2] == ['{"update": 0}', '{"live": true}']
    assert len(tasks) == 1


async def test_what_waits_may_be_dropped(moi):
    client = Client()
    send_queue, _ = queue_for(client)
    send_queue.put_update("root", ("update", "a", "1", ""))
    assert send_queue.has_update("a")
    send_queue.drop_updates()
    send_queue.enqueue_frame("live", "true")
    await until(lambda: client.frames == ['{"live": true}'])
    assert not send_queue.has_update("a")


@pytest.mark.parametrize("at_once", [False, True])
async def test_what_comes_fast_comes_in_the_end(moi, at_once):
    client = Client()
    send_queue, _ = queue_for(client, at_once)
    for number in range(500):
        send_queue.put_update("root", ("update", "a", f"{number}", ""))
        await asyncio.sleep(0.0001)
    await until(lambda: client.frames[-1:] == ['{"update": 499}'])


async def test_no_task_runs_while_nothing_is_to_be_sent(moi):
    client = Client()
    send_queue, tasks = queue_for(client)
    assert not send_queue.is_busy
    for number in range(3):
        send_queue.put_update("root", ("update", "a", f"{number}", ""))
        await asyncio.wait_for(tasks[-1], 5)
        assert not send_queue.is_busy
    assert client.frames == [f'{{"update": {number}}}' for number in range(3)]
    assert len(tasks) == 3


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
    send_queue, _ = queue_for(client)
    send_queue.put_update("one", (before, "a", "1", "{}"))
    send_queue.put_update("two", (verb, "a", "2", "{}"))
    await until(lambda: client.frames == [f'{{"{told}": 2}}'])


async def test_a_client_that_does_not_read_is_given_up(moi):
    moi["SEND_TIMEOUT"] = 0.05
    client = Client()
    client.gate.clear()
    send_queue, tasks = queue_for(client)
    send_queue.put_update("root", ("update", "a", "1", ""))
    with pytest.raises(TimeoutError):
        await tasks[0]
    send_queue.enqueue_frame("live", "true")
    assert len(tasks) == 1  # nothing is tried any more
