"""What runs a send queue without a page."""

import asyncio


async def running(send_queue):
    async def forward(id, update):
        await send_queue.send_now(update.verb, update.raw)

    async def pushed():
        return None

    return asyncio.create_task(send_queue.send_until_cancelled(forward, pushed))


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - only others' turns are waited for
            await asyncio.sleep(0)
