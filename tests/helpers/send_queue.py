"""What runs a send queue without a page."""

import asyncio

from moi_django.protocol.send_queue import SendQueue


def queue_for(client, at_once=False):
    """Return a send queue, and the tasks in which it sends: one after the other."""
    tasks = []

    async def push(updates):
        for update in updates.values():
            await send_queue.send_now(update.verb, update.raw)

    def start():
        tasks.append(asyncio.create_task(send_queue.send_all(push)))

    send_queue = SendQueue(client, start, at_once)
    return send_queue, tasks


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - only others' turns are waited for
            await asyncio.sleep(0)
