"""What a job takes over from who submits it, on each of the ways by which that is done."""

from contextvars import ContextVar
from importlib.util import find_spec

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone, translation

from moi_django import Group, Options, job, submit
from moi_django.cluster import dispatch
from moi_django.cluster.payloads import verify_payload
from moi_django.engine.current import CurrentJob, enter_job
from moi_django.exceptions import InvalidJob
from moi_django.models import State
from tests.helpers.records import finish

pytestmark = pytest.mark.django_db(transaction=True)
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
OF_THE_SITE = ("en", "America/Chicago", None)
# The command line speaks English itself: its jobs have the language of the site.
OF_NOBODY = (None, "America/Chicago", None)
OF_THE_CALLER = ("de", "Asia/Tokyo", "r-1")


@pytest.fixture
def caller(moi):
    """A caller with language, time zone and request of its own."""
    moi["REQUEST_ID"] = request_id
    token = request_id.set("r-1")
    with translation.override("de"), timezone.override("Asia/Tokyo"):
        yield
    request_id.reset(token)


@pytest.fixture
def kept(store):
    """Return what is kept with a job."""

    def kept(id):
        payload = verify_payload(store.jobs.get(id), store.jobs.payload(id))
        return tuple(payload.options.caller.values())

    return kept


def report(**options):
    return submit("default", "ada", "Report", None, abs, 1, options=Options(**options))


def test_a_job_keeps_what_is_active(caller, kept):
    assert kept(report().id) == OF_THE_CALLER
    assert kept(job(abs).submit("ada", 1).id) == OF_THE_CALLER
    [mapped] = Group.map(abs, [1], owner="ada", name="Reports").jobs()
    assert kept(mapped.id) == OF_THE_CALLER


def test_a_task_of_django_keeps_it_too(caller, kept):
    if not (find_spec("django.tasks") or find_spec("django_tasks")):
        pytest.skip("there is no task interface")
    from tests.site import tasks

    assert kept(tasks.add.enqueue(1, 2).id) == OF_THE_CALLER


def test_options_say_otherwise(caller, kept):
    said = {"language": "fr", "time_zone": "Europe/Paris", "request_id": "mine"}
    assert kept(report(**said).id) == ("fr", "Europe/Paris", "mine")
    assert kept(report(language="fr").id) == ("fr", *OF_THE_CALLER[1:])
    [mapped] = Group.map(abs, [1], owner="ada", name="x", options=Options(language="fr")).jobs()
    assert kept(mapped.id)[0] == "fr"
    with pytest.raises(InvalidJob, match="time_zone is 3: give a name, or None"):
        Options(time_zone=3)


def test_what_was_active_at_submit_holds_at_the_commit_and_in_a_retry(caller, kept, store):
    with transaction.atomic():
        sent = report()
        translation.activate("fr")
        request_id.set("r-2")
    assert kept(sent.id) == OF_THE_CALLER
    finish(store, sent.info, State.FAILED, "no")
    assert kept(sent.retry().id) == OF_THE_CALLER


def test_without_a_caller_it_is_what_the_site_has(moi, kept, capsys):
    assert kept(report().id) == OF_THE_SITE
    call_command("moi", "submit", "--cmd", "return 1", "--user", "ada")
    assert kept(capsys.readouterr().out.split()[-1]) == OF_NOBODY
    moi["SCHEDULE"] = {"hourly": {"func": "operator.abs", "cron": "0 * * * *", "owner": "ada"}}
    call_command("moi", "schedule", "--run", "hourly")
    scheduled = [each for each in Group.of("ada").jobs() if each.name == "hourly"]
    assert [kept(each.id) for each in scheduled] == [OF_NOBODY]


def test_a_fixed_offset_has_no_name_to_keep(moi, kept):
    with timezone.override(timezone.get_fixed_timezone(90)):
        assert kept(report().id) == ("en", None, None)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("tests.redis.test_caller.request_id", None),
        (lambda: "r-3", "r-3"),
        (lambda: 0x4BF92F35, "1274621749"),
        (lambda: "a\nb\x1b[1m\udcff" + "x" * 300, "ab[1m" + "x" * 195),
        (lambda: None, None),
        (lambda: "", None),
    ],
)
def test_the_id_of_a_request_is_made_fit(moi, kept, source, found):
    moi["REQUEST_ID"] = source
    assert kept(report().id)[2] == found


def test_a_job_that_a_job_submits_is_for_the_same_request(moi, kept):
    moi["REQUEST_ID"] = request_id
    one = CurrentJob("id", "x", 1, "default", None, str, print, print, request_id="r-9")
    with enter_job(one):
        assert kept(report().id)[2] == "r-9"


def test_records_of_the_log_say_which_job_they_are_about(moi, store, caplog):
    sent = report()
    finish(store, sent.info, State.RUNNING)
    dispatch.mark_lost(sent.id, 1, "Its engine is gone.")
    # It is also said that there is no cluster.
    [record] = [each for each in caplog.records if each.name == "moi_django.cluster.dispatch"]
    assert record.levelname == "WARNING"
    assert (record.job_id, record.context) == (sent.id, "default")
