"""`@job`: functions that say themselves how they are sent."""

import asyncio
import inspect
import pickle
import subprocess
import sys

import pytest
from django.contrib.auth import get_user_model

from moi_django import Group, Options, ctx_default, job, submit, submit_nouser
from moi_django.exceptions import InvalidJob
from moi_django.models import State
from tests.helpers.processes import environment
from tests.site import jobs_to_decorate as jobs

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30


def test_it_is_called_as_before():
    assert jobs.factorial(4) == 24
    assert asyncio.run(jobs.twice(3)) == 6
    assert (jobs.greet.__name__, jobs.greet.__doc__) == ("greet", "Say hello.")
    assert [*inspect.signature(jobs.greet).parameters] == [
        *("name", "greeting", "options", "status_update")
    ]
    with pytest.raises(InvalidJob, match="retries is -1"):
        job(retries=-1)


def test_it_is_sent_as_it_says(cluster, reconciler):
    ada = get_user_model().objects.create_user("ada")
    # A keyword of this name is the function's own here.
    sent = jobs.greet.submit(ada, "Bob", greeting="Hi", options={"a": 1})
    assert sent.value(SOON) == ["Hi, Bob!", {"a": 1}]
    info = sent.info
    assert (info.name, info.url, info.attempt) == ("A slow greeting", "/greetings", 2)
    assert info.parent == Group.of(ada).id


def test_its_module_is_imported_and_its_function_run(cluster):
    triple = jobs.triple.submit("ada", 2)
    # Nothing of this process goes there.
    jobs.LOADED.append("here")
    assert triple.value(SOON) == [6, 1, "tests.site.jobs_to_decorate"]
    assert triple.name == "triple"
    assert jobs.factorial.submit("ada", 4).value(SOON) == 24
    assert asyncio.run(jobs.twice.asubmit("ada", 4)).value(SOON) == 8
    failed = jobs.fail.submit("ada").wait(SOON)
    assert failed.state is State.FAILED
    # It starts where the function of the site does.
    assert failed.result.splitlines()[1].endswith("in fail")


def test_another_way_of_sending_it_leaves_the_first_one(cluster, reconciler):
    patient = jobs.greet.using(name="Patient", url=None, retries=3)
    sent = patient.submit("ada", "Bob").wait(SOON)
    assert (sent.name, sent.url, sent.info.attempts) == ("Patient", None, 4)
    assert sent.result == ["Hello, Bob!", None]
    assert jobs.greet.submit("ada", "Bob").info.attempts == 2


def test_it_is_mapped(cluster):
    group = jobs.factorial.map([1, 2, 3], owner="ada")
    assert (group.results(SOON), group.name) == ([1, 2, 6], "factorial")
    assert jobs.factorial.map([2], owner="ada", name="Others").name == "Others"


def test_it_can_be_sent_by_other_ways_too(cluster):
    assert submit_nouser(jobs.factorial, 3).value(SOON) == 6
    assert Group.map(jobs.factorial, [3], owner="ada", name="x").results(SOON) == [6]


def test_one_of_no_module_is_sent_by_value(cluster):
    @job
    def countdown(number):
        return [number, *(countdown(number - 1) if number else [])]

    assert countdown(2) == [2, 1, 0]
    assert countdown.submit("ada", 2).value(SOON) == [2, 1, 0]


def test_pickle_names_what_a_module_has():
    assert pickle.loads(pickle.dumps(jobs.triple)) is jobs.triple
    assert len(pickle.dumps(jobs.triple)) < 80
    other = pickle.loads(pickle.dumps(jobs.triple.using(name="other", priority=2)))
    assert other.__wrapped__ is jobs.triple.__wrapped__ and other is not jobs.triple
    assert pickle.dumps(other) == pickle.dumps(jobs.triple.using(name="other", priority=2))


def test_decorating_needs_no_django():
    code = (
        "import sys; from tests.site import jobs_to_decorate as j; print(j.factorial(3),"
        "*{'django', 'redis', 'ipyparallel'} & sys.modules.keys())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert ran.stdout == "6\n", ran.stderr


def takes_any(**kwargs):
    return sorted(kwargs)


def takes_one(number):
    return number


def test_options_that_are_none_are_refused_unless_the_function_takes_them(cluster):
    with pytest.raises(InvalidJob, match=r"give moi_django\.Options"):
        submit_nouser(takes_one, 1, options={"retries": 1})
    with pytest.raises(InvalidJob, match=r"give moi_django\.Options"):
        submit(ctx_default, "ada", "x", None, takes_one, 1, options=None)
    assert submit_nouser(takes_any, options={"retries": 1}).value(SOON) == ["options"]
    assert submit_nouser(takes_one, 1, options=Options(retries=1)).value(SOON) == 1
