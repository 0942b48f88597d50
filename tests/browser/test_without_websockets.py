"""The pages of a site whose server speaks WSGI: there is no websocket, and never was."""

import threading

import pytest
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from playwright.sync_api import expect

from moi_django import Group
from moi_django.models import State
from moi_django.store.logs import OutputPiece
from tests.helpers.pages import row
from tests.helpers.records import finish, job_in

pytestmark = pytest.mark.django_db(transaction=True)


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def wsgi_port(moi, ada):
    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet, connections_override={})
    server.set_app(StaticFilesHandler(get_wsgi_application()))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_list_is_fetched_every_few_seconds(wsgi_port, visit, ada, store):
    job = job_in(store, Group.of(ada), "a job")
    page = visit(wsgi_port, live=False, quiet=True, prepare=lambda page: page.clock.install())
    # Not that it was lost: there never was one.
    expect(page.get_by_text("Not live: brought up to date every few seconds")).to_be_visible()
    expect(page.get_by_text("the connection is lost")).to_be_hidden()
    finish(store, job)
    job_in(store, Group.of(ada), "another")
    page.clock.run_for(10_000)
    expect(page.locator(".moi-name:visible")).to_have_text(["another", "a job"])
    expect(row(page, "a job")).to_have_attribute("data-state", "success")
    expect(page.get_by_text("Not live: brought up to date every few seconds")).to_be_visible()
    # Nothing is taken away from under somebody who is at a row, or types.
    page.get_by_role("searchbox").fill("wor")
    with page.expect_request("**/"):
        page.clock.run_for(10_000)
    page.clock.run_for(1_000)
    expect(page.get_by_role("searchbox")).to_have_value("wor")


def test_the_page_of_a_job_is_fetched_too(wsgi_port, visit, ada, store):
    job = job_in(store, Group.of(ada), "a job", state=State.RUNNING, status="Running")
    page = visit(
        wsgi_port,
        f"/moi/jobs/{job.id}/",
        live=False,
        quiet=True,
        prepare=lambda page: page.clock.install(),
    )
    expect(page.get_by_text("Not live: brought up to date every few seconds.")).to_be_visible()
    page.locator("summary").last.click()
    store.logs.open(job.id).append([OutputPiece("stdout", "printed\n")], 10_000)
    finish(store, job, result="what came of it")
    page.clock.run_for(10_000)
    expect(page.get_by_text("what came of it")).to_be_visible()
    expect(page.get_by_text("printed")).to_be_visible()
    expect(page.locator(".moi-item")).to_have_attribute("data-state", "success")
    expect(page.locator(".moi-headline strong")).to_have_text("Success")
    expect(page.locator("[data-moi=cancel]")).to_be_hidden()
    # What somebody has opened stays open, and the page says still how it does so.
    expect(page.locator(".moi-fields")).to_be_visible()
    expect(page.get_by_text("Not live: brought up to date every few seconds.")).to_be_visible()


def test_the_panel_is_fetched_too(wsgi_port, visit, ada, store):
    ada.is_staff = ada.is_superuser = True
    ada.save()
    page = visit(
        wsgi_port,
        "/admin/moi_django/alljobs/",
        live=False,
        quiet=True,
        prepare=lambda page: page.clock.install(),
    )
    expect(page.get_by_text("Not live: brought up to date every few seconds.")).to_be_visible()
    expect(page.get_by_text("the connection is lost")).to_be_hidden()
    job_in(store, Group.of(ada), "came late")
    page.clock.run_for(10_000)
    expect(page.get_by_role("link", name="came late")).to_be_visible()
    expect(page.get_by_text("Not live: brought up to date every few seconds.")).to_be_visible()
