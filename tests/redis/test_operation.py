"""Contexts that pause, engines that are drained, jobs that are preferred: in the panel."""

import html
import logging
import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from moi_django import Group
from moi_django.contrib.live_terminal.overview import get_overview
from moi_django.contrib.live_terminal.rich_view import render_text
from moi_django.contrib.monitoring.cluster_state import get_cluster_state
from moi_django.contrib.operation import pauses
from moi_django.contrib.reloading import restarts
from moi_django.contrib.reloading.restarts import RollingRestart
from moi_django.contrib.standings.queue_order import QueueOrders
from moi_django.exceptions import MoiError, UsageError
from moi_django.models import State
from moi_django.store import policy
from moi_django.store.engines import EngineMetrics
from tests.helpers.queues import QUEUE, claim, queued_job

pytestmark = pytest.mark.django_db(transaction=True)

PANEL = "/admin/moi_django/alljobs/"
ENGINE = "11111111-2222"
LABEL = "node7:4711 (11111111)"


def client_with(*permissions):
    user = get_user_model().objects.create_user("olga", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def operator(moi):
    return client_with("view_jobs", "change_jobs")


@pytest.fixture
def lab(moi, store, tmp_path):
    """A context besides the default one, and an engine that has said how it is."""
    file = str(tmp_path / "none.json")
    moi["CONTEXTS"] = {"default": {}, "lab": {"connection_file": file}}
    for id, pid in ((ENGINE, 4711), ("11119999", 5)):
        store.engines.report(EngineMetrics(id, "lab", "node7", pid, "3.11.1", 0, 0, 1, 8))
        queued_job(store, Group.of("ada").info, f"for {pid}")
        claim(store, id)


def said(answer):
    return [str(message) for message in answer.context["messages"]]


def text_of(answer):
    """Return what a page says, its spaces made equal."""
    shown = re.sub(r"<(script|style|svg).*?</\1>|<[^>]+>", " ", answer.content.decode(), flags=re.S)
    return " ".join(html.unescape(shown).split())


OPERATIONS = [
    ("pause", "lab", policy.paused("lab"), "Pause lab?", "lab is paused.", "lab paused"),
    ("drain", ENGINE, policy.drained(ENGINE), f"Drain {LABEL}?", f"{LABEL} is drained.", "drained"),
]


@pytest.mark.parametrize(("verb", "target", "field", "question", "done", "mark"), OPERATIONS)
def test_it_is_done_once_it_is_confirmed_and_undone_again(
    operator, lab, store, caplog, verb, target, field, question, done, mark
):
    caplog.set_level(logging.INFO, "moi_django.panel")
    assert mark not in text_of(operator.get(PANEL))
    asked = operator.post(f"{PANEL}?hours=1", {verb: target})
    assert question in text_of(asked) and store.policy.read() == {}
    answered = operator.post(f"{PANEL}?hours=1", {verb: target, "confirmed": "yes"}, follow=True)
    assert answered.redirect_chain == [(f"{PANEL}?hours=1", 302)]
    assert said(answered) == [done] and list(store.policy.read()) == [field]
    assert mark in text_of(answered)
    assert [record.getMessage() for record in caplog.records][-1].startswith(f"olga: {verb}, ")
    back = "resume" if verb == "pause" else "resume-engine"
    assert f'name="{back}" value="{target}"' in answered.content.decode()
    assert "Resume" in text_of(operator.post(PANEL, {back: target}))
    answered = operator.post(PANEL, {back: target, "confirmed": "yes"}, follow=True)
    assert said(answered)[0].endswith(" goes on.") and store.policy.read() == {}
    assert mark not in text_of(answered)


def test_the_page_that_asks_sends_what_does_it(operator, lab, store):
    asked = operator.post(PANEL, {"pause": "lab"}).content.decode()
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', asked))
    button = dict(re.findall(r'<button class="button" name="(\w+)" value="([^"]*)"', asked))
    operator.post(PANEL, {**hidden, **button})
    assert policy.paused("lab") in store.policy.read()


@pytest.mark.parametrize("target", ["nowhere", ""])
@pytest.mark.parametrize("verb", ["pause", "resume", "drain", "resume-engine"])
def test_what_is_not_there_is_left_alone(operator, lab, store, verb, target):
    answered = operator.post(PANEL, {verb: target, "confirmed": "yes"}, follow=True)
    assert said(answered) == ["Nothing was done: it is not there any more."]
    assert store.policy.read() == {}


@pytest.mark.parametrize("verb", ["pause", "resume", "drain", "resume-engine"])
def test_who_may_only_look_changes_nothing(lab, store, verb):
    viewer = client_with("view_jobs")
    shown = viewer.get(PANEL).content.decode()
    assert "lab" in shown and not re.search('name="(pause|drain|resume)', shown)
    store.policy.start(policy.paused("lab"))
    store.policy.start(policy.drained(ENGINE))
    before = store.policy.read()
    target = ENGINE if verb in ("drain", "resume-engine") else "lab"
    assert viewer.post(PANEL, {verb: target, "confirmed": "yes"}).status_code == 403
    assert store.policy.read() == before


def test_chosen_jobs_are_moved_to_the_front_in_their_order(operator, lab, store):
    jobs = [queued_job(store, Group.of("ada").info, f"job {number}") for number in range(4)]
    running = claim(store).info
    assert running.id == jobs[0].id
    # As the list has them: the newest first.
    data = {"action": "prefer", "id": [jobs[3].id, jobs[2].id, jobs[0].id]}
    assert "Move 3 jobs to the front of their queues?" in text_of(operator.post(PANEL, data))
    answered = operator.post(PANEL, {**data, "confirmed": "yes"}, follow=True)
    assert said(answered) == [
        "2 jobs moved to the front.",
        "1 job does not wait in a queue.",
    ]
    standings = QueueOrders(store).standings(QUEUE)
    assert sorted(standings, key=lambda id: standings[id].position) == [
        *(jobs[2].id, jobs[3].id),
        jobs[1].id,
    ]


def test_an_engine_is_found_by_what_people_see_of_it(lab):
    assert {pauses.find_engine(name).id for name in (ENGINE, "1111111", "node7:4711")} == {ENGINE}
    known = r"There are: node7:5 \(11119999\), node7:4711 \(11111111\)\."
    with pytest.raises(UsageError, match=f"Unknown engine: x. {known}"):
        pauses.find_engine("x")
    with pytest.raises(UsageError, match=f"More than one engine is meant by '1111'. {known}"):
        pauses.find_engine("1111")
    with pytest.raises(UsageError, match=r"Unknown context: x. There are: default, lab\."):
        pauses.require_context("x")


def test_a_pause_keeps_its_beginning(moi, store):
    assert pauses.pause("default")
    before = store.policy.read()
    assert not pauses.pause("default")
    assert store.policy.read() == before
    assert pauses.resume("default") and not pauses.resume("default")


def test_what_runs_is_told_by_context_and_engine(lab, store):
    assert sorted(info.name for info in pauses.running_jobs()) == ["for 4711", "for 5"]
    assert len(pauses.running_jobs(["lab", "default"])) == 2
    assert pauses.running_jobs(["default"]) == []
    assert [info.name for info in pauses.running_jobs(engine=ENGINE)] == ["for 4711"]


def test_what_does_not_wait_is_not_preferred(lab, store):
    waiting = queued_job(store, Group.of("ada").info)
    pauses.prefer(waiting)
    running = claim(store).info
    with pytest.raises(MoiError, match="does not wait in a queue: it is running"):
        pauses.prefer(running)
    with pytest.raises(MoiError, match="it is a group"):
        pauses.prefer(Group.of("ada").info)
    later = running.requeued(State.FAILED, "x")
    store.jobs.change(running.id, lambda info: later, delay=60.0)
    with pytest.raises(MoiError, match="it waits for other jobs, or for a later time"):
        pauses.prefer(store.jobs.get(running.id))


def test_other_code_a_restart_and_a_refusal_are_shown(operator, lab, store, monkeypatch):
    marks = ("other code", "to be restarted", "takes no job")
    monkeypatch.setenv("COLUMNS", "200")
    shown = (text_of(operator.get(PANEL)), render_text(get_overview()))
    assert not [mark for mark in marks for text in shown if mark in text]
    said = {"code": "0" * 12, "refusal": "there is no module 'lab'"}
    store.engines.report(EngineMetrics(ENGINE, "lab", "node7", 4711, "3.11.1", **said))
    restarts.ask(store, [ENGINE])
    shown = (text_of(operator.get(PANEL)), render_text(get_overview()))
    assert [mark for mark in marks for text in shown if mark not in text] == []
    [engine] = [each for each in get_overview().to_dict()["engines"] if each["id"] == ENGINE]
    assert engine["has_other_code"] and engine["restart"] and engine["code"] == "0" * 12


def test_an_engine_that_is_to_load_code_claims_nothing(store):
    queued_job(store, Group.of("ada").info, "waits")
    restarts.ask(store, ["one"])
    assert claim(store, "one") is None
    store.policy.stop(policy.restart("one"))
    assert claim(store, "one").info.name == "waits"


def test_engines_that_nobody_reaches_are_asked_and_not_waited_for(lab, store):
    store.engines.report(EngineMetrics("far", "lab", "node8", 1))
    [far] = [each for each in get_cluster_state().engines if each.id == "far"]
    assert RollingRestart([far], pytest.fail).run() == [far]
    assert list(store.policy.read()) == [policy.restart("far")]
