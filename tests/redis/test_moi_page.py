"""A page in the tests of a site, on the consumer itself."""

import pytest
from django.contrib.auth import get_user_model
from django.test import override_settings

from moi_django import asubmit, ctx_default
from moi_django.test import MoiPage, MoiTestCase, MoiTransactionTestCase, PageClosed
from tests.helpers import immediate_jobs

AT_ONCE = {"ON_COMMIT": False, "REDIS_URL": "redis://localhost:1"}
# What leads to a Redis that nobody may reach.
LAYERS = {
    backend: {"default": {"BACKEND": backend, "CONFIG": {"hosts": ["redis://localhost:1"]}}}
    for backend in (
        "moi_django.layers.MoiChannelLayer",
        "channels_redis.core.RedisChannelLayer",
    )
}


@override_settings(MOI=AT_ONCE)
class PageTests(MoiTransactionTestCase):
    async def test_it_hears_of_jobs_and_acts_on_them(self):
        ada = await get_user_model().objects.acreate(username="ada")
        async with MoiPage(ada) as page, MoiPage(ada) as other:
            with self.hold_jobs():
                job = await asubmit(ctx_default, ada, "A job", None, abs, -1)
            for each in (page, other):
                await each.wait_for(job, within=30, state="queued")
            await page.send("cancel", job.id)
            assert (await other.receive_update(job, within=30))["state"] == "cancelled"
            await page.wait_for(job, within=30, state="cancelled")
            assert page.jobs[job.id]["name"] == "A job"
            assert next(verb for verb, _ in page.frames) == "get"
            await page.send("remove", job.id)
            assert (await page.receive("remove", within=30))["id"] == job.id
            assert job.id not in page.jobs

    async def test_what_does_not_come_is_told(self):
        ada = await get_user_model().objects.acreate(username="ada")
        async with MoiPage(ada) as page:
            job = await asubmit(ctx_default, ada, "A job", None, abs, -1)
            await page.wait_for(job, within=30, state="success")
            with self.assertRaisesRegex(AssertionError, r"(?s)no remove within .*'A job', Success"):
                await page.receive("remove", within=0.1)

    async def test_why_it_is_closed_is_told(self):
        with self.assertRaises(PageClosed) as closed:
            await MoiPage().connect()
        assert closed.exception.code == 4401
        with self.assertRaisesRegex(AssertionError, "not connected"):
            await MoiPage().send("get", [])

    async def test_another_channel_layer_of_the_site_is_not_used(self):
        ada = await get_user_model().objects.acreate(username="ada")
        for layers in LAYERS.values():
            with override_settings(CHANNEL_LAYERS=layers):
                async with MoiPage(ada) as page:
                    job = await asubmit(ctx_default, ada, "A job", None, abs, -1)
                    await page.wait_for(job, within=30, state="success")


@override_settings(MOI=AT_ONCE, ASGI_APPLICATION=None)
class TransactionTests(MoiTestCase):
    async def test_what_a_page_asks_for_is_done_in_the_transaction_of_the_test(self):
        ada = await get_user_model().objects.acreate(username="ada")
        async with MoiPage(ada) as page:
            run = immediate_jobs.fail_without_bob_async
            job = await asubmit(ctx_default, ada, "A job", None, run)
            await page.wait_for(job, within=30, state="failed")
            await get_user_model().objects.acreate(username="bob")
            await page.send("retry", job.id)
            retried = (await page.receive_update(job, within=30))["retried"]
            assert (await page.wait_for(retried, within=30, state="success"))["result"] == "bob"


@pytest.mark.django_db(transaction=True)
async def test_it_works_where_the_outermost_program_is_asynchronous(settings):
    settings.MOI = AT_ONCE
    ada = await get_user_model().objects.acreate(username="ada")
    async with MoiPage(ada) as page:
        job = await asubmit(ctx_default, ada, "A job", None, immediate_jobs.count_users_async)
        assert (await page.wait_for(job, within=30, state="success"))["result"] == 1
