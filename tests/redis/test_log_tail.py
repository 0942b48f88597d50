"""A page gets all that a job prints, whenever it is told that there is more."""

import json

import pytest
from asgiref.sync import sync_to_async

from moi_django import Group
from moi_django.protocol.log_tail import LogTail
from moi_django.store.logs import OutputPiece
from tests.helpers.records import job_in
from tests.helpers.send_queue import queue_for, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("before", [[], ["before\n"]])
async def test_what_comes_while_it_reads_is_read_next(store, before):
    job = await sync_to_async(lambda: job_in(store, Group.of("example")))()
    log, frames, late = store.logs.open(job.id), [], ["late\n"]
    for text in before:
        await sync_to_async(log.append)([OutputPiece("stdout", text)], 1000)

    async def send(text):
        frames.append(json.loads(text)["log"])

    async def in_thread(work, *args):
        entries = await sync_to_async(work)(*args)
        if late and not entries:
            # Redis has answered, and tells of more before the answer is here.
            await sync_to_async(log.append)([OutputPiece("stdout", late.pop())], 1000)
            tail.schedule_read()
        return entries

    send_queue, _ = queue_for(send)
    tail = LogTail(job.id, send_queue, in_thread)
    tail.schedule_read()
    await until(lambda: len(frames) == len(before) + 1)
    said = [text for frame in frames for _, text in frame["pieces"]]
    assert said == [*before, "late\n"]
