"""What `moi up` says of jobs, a line each."""

import asyncio
from contextlib import suppress

import pytest

from moi_django import Group
from moi_django.contrib.services.job_news import JobNews
from moi_django.models import State
from tests.helpers.records import finish, job_in

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_line_says_why_a_job_has_failed(moi, store):
    root = Group.of("somebody")

    def fail():
        text = "Traceback (most recent call last):\n  ...\nValueError: no \x1b[31mnumber"
        finish(store, job_in(store, root, "a job"), State.FAILED, text)

    async def hear():
        lines = asyncio.Queue()
        news = asyncio.create_task(JobNews(lines.put_nowait).follow(moi["REDIS_URL"]))
        while True:
            # Again and again, as nobody is told of what was written before it listened.
            await asyncio.to_thread(fail)
            with suppress(TimeoutError):
                while "Failed" not in (line := await asyncio.wait_for(lines.get(), 0.5)):
                    pass
                news.cancel()
                return line

    line = asyncio.run(asyncio.wait_for(hear(), 30))
    assert line.endswith("a job: Failed · ValueError: no \ufffd[31mnumber")
