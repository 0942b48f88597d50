"""The page of a job in the states that people meet: what comes first in it, and no barriers."""

import itertools
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from moi_django import Group
from moi_django.contrib.displays.rich_display import display_forms
from moi_django.models import State, now
from moi_django.store.logs import OutputPiece
from tests.helpers.groups import address
from tests.helpers.processes import free_port, site_process
from tests.helpers.records import job_in
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)

OWN = '  File "/srv/lab/models.py", line 41, in fit\n    return solve(matrix, start)\n'
LIBRARY = (
    '  File "/srv/venv/lib/python3.12/site-packages/numpy/linalg/_linalg.py", line 410, in solve\n'
    "    r = gufunc(a, b, signature=signature)\n        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
)
WHY = "numpy.linalg.LinAlgError: Singular matrix"
TRACEBACK = f"Traceback (most recent call last):\n{OWN}{LIBRARY}{WHY}\n"
OUTPUT = "reading 12 files\n\x1b[32mconverged\x1b[0m after 40 steps\n\x1b[33mslowly\x1b[0m\n"


def begin(store, job, **fields):
    begun = {"state": State.RUNNING, "status": "Running", "date_start": now(), **fields}
    store.jobs.change(job.id, lambda info: info.changed(**begun))
    store.logs.open(job.id).append([OutputPiece("stdout", OUTPUT)], 10_000)


def succeed(store, job):
    """Let a job end well, with a figure."""
    begin(store, job, attempts=2, call="lab.models.fit(start=0.5, path='/data/run7')")
    store.artifacts.save_display(job.id, display_forms(work.figure(), 1_000_000))
    result = {"repr": "<Figure size 200x100 with 1 Axes>", "type": "matplotlib.figure.Figure"}
    used = {"cpu_seconds": 71.5, "peak_memory": 310_000_000}
    store.jobs.change(job.id, lambda info: info.ended(State.SUCCESS, result=result, **used))


def fail(store, job):
    begin(store, job, call="lab.models.fit(start=0.5, password='********')")
    store.jobs.change(job.id, lambda info: info.ended(State.FAILED, result=TRACEBACK))


def progress(store, job):
    begin(store, job, done=300, total=1000, progress=0.3, status="Fitting the model")


def try_thrice(store, job):
    """Let two attempts fail, and the third one go on."""
    for state in (State.FAILED, State.LOST):
        begin(store, job, attempts=3, cpu_seconds=12.5, peak_memory=200_000_000)
        store.jobs.change(job.id, lambda info, at=state: info.requeued(at, TRACEBACK))
    begin(store, job, progress=0.6)


STATES = {"success": succeed, "failed": fail, "running": progress, "attempts": try_thrice}
# Selectors of what comes in this order.
ORDER = {
    "success": ".moi-headline, .moi-image, .moi-timeline, .moi-output",
    "failed": ".moi-headline, .moi-raised, h3 + .moi-text, .moi-timeline, .moi-output",
    "running": ".moi-headline, .moi-progress, .moi-timeline, .moi-output",
    "attempts": ".moi-headline, .moi-progress, .moi-timeline, .moi-output",
}


def has_barriers(page):
    """Tell what a page makes hard, and whether it is wider than the screen; "" is fine."""
    found = Axe().run(page)
    too_wide = "innerWidth < document.documentElement.scrollWidth"
    return (found.generate_report() if found.violations_count else "") + (
        " too wide" if page.evaluate(too_wide) else ""
    )


@pytest.mark.parametrize("state", STATES)
def test_what_matters_comes_first_and_nothing_is_a_barrier(look, job, store, state):
    STATES[state](store, job)
    page = look(job, viewport={"width": 1200, "height": 800}, color_scheme="light")
    expect(page.locator(".moi-output .moi-ink-2").first).to_have_text("converged")
    tops = "parts => parts.map(part => part.getBoundingClientRect().top)"
    shown = page.locator(ORDER[state])
    assert shown.count() == len(ORDER[state].split(","))
    assert (found := shown.evaluate_all(tops)) == sorted(found)
    assert has_barriers(page) == ""
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 800})
    assert has_barriers(page) == ""
    small = "buttons => buttons.filter(each => each.checkVisibility() && each.offsetHeight < 24)"
    assert page.locator("button, summary").evaluate_all(f"{small}.length") == 0


def test_from_right_to_left_there_are_no_barriers_either(site_env, visit, ada, sweep, store):
    jobs = [job_in(store, Group.of(ada), state) for state in STATES]
    for job in jobs:
        STATES[job.name](store, job)
    paths = [f"/moi/jobs/{job.id}/" for job in jobs]
    paths += ["/moi/jobs/?moi_state=failed", address(sweep)]
    port = free_port()
    with site_process(port, **site_env, MOI_TEST_LANGUAGE="ar"):
        for path, width in zip(paths, itertools.cycle([1200, 390]), strict=False):
            page = visit(port, path, live=False, viewport={"width": width, "height": 800})
            shown = page.locator(":is(moi-job, moi-jobs)[live][dir=rtl]")
            expect(shown).to_contain_text(re.compile("[\u0600-\u06ff]"))
            assert has_barriers(page) == "", path
            page.close()
