"""A job runs as its caller would: in that language and time zone; its site sees what it says."""

import pytest

from moi_django.engine.fork_client import ForkServer
from moi_django.engine.supervisor import Supervisor
from moi_django.models import State
from tests.helpers import observed_jobs
from tests.helpers.fake_sentry import FakeSentry
from tests.helpers.job_processes import Notes, make_task
from tests.helpers.observed_jobs import fail, log, speak, speak_later


@pytest.fixture(scope="module")
def sentry():
    server = FakeSentry()
    yield server
    server.close()


@pytest.fixture(scope="module")
def observed(sentry):
    """A server of job processes of a site that has Sentry and a log of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SETTINGS_MODULE", "tests.helpers.observed_settings")
        patch.setenv("MOI_TEST_SENTRY", sentry.dsn)
        server = ForkServer()
        server.take().close()
    yield server
    server.close()


def run(server, function, *args, **fields):
    notes = Notes()
    return Supervisor(server.take(), make_task(function, *args, **fields), notes).run(), notes


@pytest.mark.parametrize("function", [speak, speak_later])
def test_language_time_zone_and_request_id_are_those_of_the_caller(observed, function):
    caller = {"language": "de", "time_zone": "Asia/Tokyo", "request_id": "r-1"}
    end, _ = run(observed, function, **caller)
    assert end.result == ["de", "Ja", "Asia/Tokyo", "r-1"]


def test_what_is_not_known_of_the_caller_is_as_in_the_site(observed):
    end, _ = run(observed, speak)
    assert end.result == ["en", "Yes", "Europe/Berlin", None]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "Europe"])
def test_a_time_zone_that_the_engine_lacks_is_told(observed, zone):
    end, notes = run(observed, speak, time_zone=zone)
    assert end.result == ["en", "Yes", "Europe/Berlin", None]
    assert f"WARNING There is no time zone {zone!r} here" in notes.text()


def test_an_engine_without_django_ignores_it(fork_server):
    caller = {"language": "de", "time_zone": "Asia/Tokyo", "request_id": "r-1"}
    end, notes = run(fork_server, abs, -1, **caller)
    assert (end.result, notes.text()) == (1, "")


def test_the_records_of_the_log_say_which_job_they_are_of(observed):
    _, notes = run(observed, log, request_id="r-1")
    assert notes.text() == ("INFO Half way a-job default r-1\nWARNING Careful a-job my own r-1\n")


def test_what_a_job_raises_is_reported_once_with_what_it_has_logged(observed, sentry):
    end, _ = run(observed, fail, "water", request_id="r-1")
    assert end.state is State.FAILED
    [event] = sentry.take()
    [error] = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "water cannot be weighed")
    assert error["mechanism"]["handled"] is False
    assert error["stacktrace"]["frames"][-1]["function"] == "fail"
    assert "Weighing water" in [each["message"] for each in event["breadcrumbs"]["values"]]
    assert event["tags"] == {"job_id": "a-job", "context": "default", "request_id": "r-1"}
    assert event["transaction"] == "A job"
    # The next one knows nothing of that.
    run(observed, fail, "air")
    [event] = sentry.take()
    assert "Weighing water" not in str(event)


def test_what_a_job_logs_as_an_error_is_reported_too(observed, sentry):
    end, _ = run(observed, observed_jobs.log_failure)
    assert end.state is State.SUCCESS
    [event] = sentry.take()
    assert event["logentry"]["message"] == "Left out" and event["tags"]["job_id"] == "a-job"


@pytest.mark.parametrize(
    ("function", "arguments", "reported"),
    [
        (abs, [-1], []),
        (observed_jobs.exit_with, [0], []),
        (observed_jobs.exit_with, [3], ["SystemExit"]),
        (observed_jobs.interrupt, [], []),
    ],
)
def test_an_end_that_is_no_error_is_not_reported(observed, sentry, function, arguments, reported):
    run(observed, function, *arguments)
    kinds = [event["exception"]["values"][-1]["type"] for event in sentry.take()]
    assert kinds == reported
