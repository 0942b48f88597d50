"""What jobs came to is kept in the database, shown to who may see it, and dropped when old."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from moi_django import Group, owners
from moi_django.contrib.events import register, unregister
from moi_django.contrib.events.reader import deliver_all
from moi_django.contrib.history import recorder
from moi_django.contrib.history.models import PastAttempt, PastJob
from moi_django.contrib.history.recorder import record_events, record_jobs
from moi_django.contrib.history.retention import prune
from moi_django.models import State, now
from tests.helpers.records import finish, job_in, mark_retried

pytestmark = pytest.mark.django_db
TRACEBACK = (
    'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: no such sample\n'
)


@pytest.fixture
def history(moi):
    """The store of a site whose jobs are kept."""
    register("history", record_events)
    yield
    unregister("history")


@pytest.fixture
def client(ada):
    client = Client()
    client.force_login(ada)
    return client


@pytest.fixture
def job(ada, history, store):
    return job_in(store, Group.create(ada, "a sweep"), "a job")


def end(store, job, state=State.SUCCESS, **fields):
    """End a job, and let the history hear of it."""
    store.jobs.change(job.id, lambda info: info.changed(date_start=now()).ended(state, **fields))
    deliver_all()
    return PastJob.objects.get(pk=job.id)


def forget(store, job):
    """Let Redis forget a job, as it does after a while."""
    store.connection.redis.delete(f"{store.keys.prefix}{job.id}")


def page_of(client, job):
    return client.get(reverse("moi:job", args=[job.id]))


def test_a_job_that_succeeded_is_kept(job, store, ada):
    kept = end(store, job, result={"answer": 42})
    assert (kept.name, kept.state, kept.user, kept.owner) == ("a job", "success", ada, "ada")
    assert (kept.group, kept.error, kept.exception) == ("a sweep", "", "")
    assert json.loads(kept.result_preview) == {"answer": 42}
    assert kept.info == store.jobs.get(job.id)
    assert abs(kept.ended - timezone.now()) < timedelta(minutes=1)


def test_a_job_that_failed_is_kept_with_its_error_and_its_attempts(job, store):
    def begin(info):
        return info.changed(state=State.RUNNING, date_start=now(), engine=f"e{info.attempt}")

    store.jobs.change(job.id, begin)
    store.jobs.change(job.id, lambda info: info.requeued(State.LOST, "The engine died."))
    store.jobs.change(job.id, begin)
    used = {"cpu_seconds": 1.5, "peak_memory": 2**40, "exception": "builtins.ValueError"}
    store.jobs.change(job.id, lambda info: info.ended(State.FAILED, result=TRACEBACK, **used))
    deliver_all()
    kept = PastJob.objects.get(pk=job.id)
    assert (kept.state, kept.error) == ("failed", "ValueError: no such sample")
    assert (kept.exception, kept.cpu_seconds, kept.peak_memory) == (
        "builtins.ValueError",
        1.5,
        2**40,
    )
    attempts = [(each.number, each.state, each.error, each.engine) for each in kept.attempts.all()]
    assert attempts == [
        (1, "lost", "The engine died.", "e1"),
        (2, "failed", "ValueError: no such sample", "e2"),
    ]


def test_a_job_that_is_told_again_is_kept_once_as_it_was_last(job, store):
    kept = end(store, job, state=State.FAILED, result=TRACEBACK)
    ended = store.jobs.get(job.id)
    assert record_jobs([ended, ended]) == 0
    assert mark_retried(store, job.id, "an-id")
    assert record_jobs([store.jobs.get(job.id), ended]) == 1
    assert record_jobs([ended]) == 0
    kept.refresh_from_db()
    assert kept.info.retried == "an-id"
    assert PastJob.objects.count() == 1


def test_one_that_never_began_has_no_attempt(job, store):
    store.jobs.change(job.id, lambda info: info.ended(State.CANCELLED))
    deliver_all()
    kept = PastJob.objects.get(pk=job.id)
    assert kept.state == "cancelled" and kept.ran is None
    assert not PastAttempt.objects.exists()


def test_a_job_that_goes_on_is_not_kept(job, store):
    deliver_all()
    assert not PastJob.objects.exists()


def test_what_a_database_refuses_is_replaced_and_what_is_long_is_cut(job, store):
    text = "\0 \ud800 " + "x" * 50_000
    kept = end(store, job, result=text)
    assert "\0" not in kept.result_preview and len(kept.result_preview) <= recorder.PREVIEW
    assert kept.info.result is None
    long = end(store, job_in(store, Group.create("bob", "g"), "n" * 1_000), result=None)
    assert len(long.name) == 250


def test_one_row_that_cannot_be_kept_keeps_no_other_from_it(job, store, ada, caplog):
    fine = finish(store, store.jobs.get(job.id), result=1)
    # Larger than any number of a database.
    odd = finish(store, job_in(store, Group.create(ada, "odd")), result=2)
    odd = odd.changed(peak_memory=2**63)
    assert record_jobs([odd, fine]) == 1
    assert PastJob.objects.get().pk == job.id
    assert odd.id in caplog.text


@pytest.mark.parametrize("date", ["9999-12-31T23:59:59.999999", "0001-01-01T00:00:00", "never"])
def test_times_that_no_zone_has_keep_no_other_from_it(job, store, settings, date):
    settings.USE_TZ, settings.TIME_ZONE = False, "America/New_York"
    fine = finish(store, store.jobs.get(job.id), result=1)
    odd = fine.changed(id="odd", date_created=date, date_start=date, date_end=date)
    assert record_jobs([odd, fine]) == 2


def test_without_a_database_events_wait(job, store, monkeypatch, django_db_blocker):
    finish(store, store.jobs.get(job.id), result=1)
    away = True

    def record(events):
        if away:
            raise OperationalError("the database is away")
        record_events(events)

    register("history", record)
    deliver_all()
    assert not PastJob.objects.exists()
    away = False
    deliver_all()
    assert PastJob.objects.get().pk == job.id


# The page


def test_a_job_that_has_left_redis_keeps_its_page(client, job, store):
    end(store, job, state=State.FAILED, result=TRACEBACK)
    assert "From the history" not in page_of(client, job).content.decode()
    forget(store, job)
    html = page_of(client, job).content.decode()
    assert "From the history" in html
    assert "a job" in html and "a sweep" in html and "ValueError: no such sample" in html


def test_nobody_else_sees_it(client, job, store):
    end(store, job, result="secret")
    forget(store, job)
    bob = get_user_model().objects.create_user("bob")
    stranger = Client()
    assert page_of(stranger, job).status_code == 302
    stranger.force_login(bob)
    assert page_of(stranger, job).status_code == 404
    bob.user_permissions.add(Permission.objects.get(codename="view_jobs"))
    assert page_of(stranger, job).status_code == 200
    assert client.post(reverse("moi:act", args=[job.id]), {"act": "retry"}).status_code == 404


def test_authorize_decides_about_past_jobs_too(client, job, store, moi):
    end(store, job, result="secret")
    forget(store, job)
    moi["AUTHORIZE"] = lambda user, action, info: False
    assert page_of(client, job).status_code == 404


def test_who_owned_it_sees_it_after_redis_has_lost_everything(client, ada, job, store):
    before = owners.find_root_id(ada)
    end(store, job, result={"a": 1})
    for key in store.connection.redis.scan_iter(f"{store.keys.prefix}*"):
        store.connection.redis.delete(key)
    assert page_of(client, job).status_code == 404  # this user has no tree by now
    client.get("/")
    Group.create(ada, "another")
    assert owners.find_root_id(ada) != before
    assert page_of(client, job).status_code == 200
    assert page_of(Client(), job).status_code == 302


def test_what_a_job_left_is_text_in_its_page(client, ada, history, store):
    evil = "<script>alert(1)</script>"
    job = job_in(store, Group.create(ada, evil), evil)
    end(store, job, result=evil)
    forget(store, job)
    html = page_of(client, job).content.decode()
    assert evil not in html and "&lt;script&gt;" in html


def test_a_long_result_is_shown_by_its_beginning(client, job, store):
    end(store, job, result=["x" * 50_000])
    forget(store, job)
    html = page_of(client, job).content.decode()
    assert "xxx" in html and len(html) < 20_000


# The admin


def test_the_admin_lists_searches_and_changes_nothing(admin_client, job, store):
    kept = end(store, job, state=State.FAILED, result=TRACEBACK)
    place = reverse("admin:moi_history_pastjob_changelist")
    listed = admin_client.get(place, {"q": "sweep", "state__exact": "failed"}).content.decode()
    assert "no such sample" in listed and "1 past job" in listed
    assert "0 past jobs" in admin_client.get(place, {"q": "nothing"}).content.decode()
    one = reverse("admin:moi_history_pastjob_change", args=[kept.pk])
    html = admin_client.get(one).content.decode()
    assert reverse("moi:job", args=[job.id]) in html and "no such sample" in html
    assert admin_client.post(one, {"name": "x"}).status_code == 403
    assert admin_client.get(reverse("admin:moi_history_pastjob_add")).status_code == 403


# Retention


def test_old_jobs_are_dropped(job, store, capsys, monkeypatch):
    monkeypatch.setattr("moi_django.contrib.history.retention.BATCH", 1)
    kept = end(store, job, result=1)
    for name in ("two", "three"):
        end(store, job_in(store, Group.create("bob", "g"), name), result=1)
    for row in PastJob.objects.exclude(pk=kept.pk):
        row.ended -= timedelta(days=100)
        row.save()
    call_command("moi_history", "prune", "--days=90")
    assert "2 jobs were dropped." in capsys.readouterr().out
    assert PastJob.objects.get() == kept
    assert prune(0) == 1


@pytest.mark.parametrize("days", ["-1", "nan", "1e20"])
def test_days_that_make_no_sense_drop_nothing(job, store, days):
    end(store, job, result=1)
    with pytest.raises(CommandError):
        call_command("moi_history", "prune", f"--days={days}")
    assert PastJob.objects.count() == 1


def test_what_redis_still_has_is_taken_in(ada, store, moi, capsys):
    ended = [job_in(store, Group.create(ada, "g"), f"job {n}") for n in range(3)]
    for job in ended:
        finish(store, job, result=1)
    job_in(store, Group.create(ada, "h"), "goes on")
    call_command("moi_history", "import")
    call_command("moi_history", "import")
    assert capsys.readouterr().out == "3 jobs were taken in.\n0 jobs were taken in.\n"
    assert set(PastJob.objects.values_list("pk", flat=True)) == {job.id for job in ended}
