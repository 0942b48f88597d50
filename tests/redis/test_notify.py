"""Who wants to is told of the end of jobs: once, in the right language, and nobody else."""

import json
import re
import socket
import ssl
from datetime import timedelta
from ipaddress import ip_address

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.checks import run_checks
from django.core.management import call_command
from django.test import Client, modify_settings, override_settings
from django.utils import timezone

from moi_django import Group, Options, owners
from moi_django.conf import conf
from moi_django.contrib.events import registry
from moi_django.contrib.events.reader import deliver_all
from moi_django.contrib.notify import group_ends, outbox, safe_http, signing
from moi_django.contrib.notify.models import Message, Preference, Stage
from moi_django.contrib.notify.safe_http import AddressRefused, is_allowed, post
from moi_django.contrib.notify.wishes import parse_wish
from moi_django.exceptions import InvalidJob
from moi_django.models import State, format_date
from moi_django.site_store import get_store
from tests.helpers.processes import in_time
from tests.helpers.records import finish, job_in, new_job
from tests.helpers.webhooks import Receiver
from tests.helpers.words import left_in_english

APP = "moi_django.contrib.notify"
SECRET = "a secret that nobody guesses"
NOWHERE = "tests.helpers.nowhere.Backend"
# The name of the setting is another one from Django 6.1 on.
NO_MAILS = (
    {"MAILERS": {"default": {"BACKEND": NOWHERE}}}
    if hasattr(mail, "mailers")
    else {"EMAIL_BACKEND": NOWHERE}
)
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="session")
def tables(django_db_setup, django_db_blocker):
    """The tables of the app, in the database of the tests."""
    with django_db_blocker.unblock(), modify_settings(INSTALLED_APPS={"append": APP}):
        call_command("migrate", "moi_notify", verbosity=0)
    for consumer in registry.consumers():
        registry.unregister(consumer.name)


@pytest.fixture
def site(tables, db, moi, settings, monkeypatch):
    """A site with the app; its MOI_NOTIFY, which a test may change."""
    monkeypatch.setattr(registry, "_consumers", {})
    monkeypatch.setattr(conf, "hears_events", False)
    monkeypatch.setattr(group_ends, "GROUP_PAUSE", 0.0)
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, APP]
    # The apps have become ready anew, others too.
    monkeypatch.setattr(registry, "_consumers", {"notify": registry._consumers["notify"]})
    settings.ROOT_URLCONF = "tests.site.notify_urls"
    settings.MOI_NOTIFY = {"BASE_URL": "https://example.org", "MIN_SECONDS": 0}
    return settings.MOI_NOTIFY


@pytest.fixture
def ada(site):
    return get_user_model().objects.create_user("ada", "ada@example.org", "secret")


@pytest.fixture
def root(ada):
    return Group.of(ada)


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def local(site, receiver):
    """A webhook on this machine, which the settings allow."""
    site |= {
        "WEBHOOKS": {"chat": {"url": receiver.url, "secret": SECRET}},
        "ALLOWED_NETWORKS": ["127.0.0.0/8"],
        "SECRET": SECRET,
    }
    return receiver


def wants(user, when, seconds=0):
    Preference.objects.update_or_create(user=user, defaults={"when": when, "min_seconds": seconds})


def job_that_ends(group, name="a job", state=State.SUCCESS, result=None, **fields):
    """Let a job be submitted and end."""
    job = job_in(get_store(), group, name, **fields)
    return finish(get_store(), job, state, result)


def told():
    """Let all that was heard be told; return the mails since the last time."""
    del mail.outbox[:]
    deliver_all()
    return list(mail.outbox)


def stages():
    return sorted(Message.objects.values_list("channel", "stage"))


# Who is told of what


def test_a_user_who_has_chosen_so_is_told(ada, root):
    wants(ada, "always")
    job = job_that_ends(root, "Nightly report")
    [sent] = told()
    assert sent.subject == "Nightly report: Success"
    assert sent.to == ["ada@example.org"]
    assert f"https://example.org/moi/jobs/{job.id}/" in sent.body
    assert "https://example.org/told/" in sent.body
    [(html, kind)] = sent.alternatives
    assert kind == "text/html"
    assert f'href="https://example.org/moi/jobs/{job.id}/"' in html
    assert sent.extra_headers["Auto-Submitted"] == "auto-generated"
    assert told() == []


def test_why_it_has_failed(ada, root):
    wants(ada, "failures")
    job_that_ends(root, state=State.FAILED, result="Traceback\n  File\nValueError: <b>no</b>\n")
    [sent] = told()
    assert sent.subject == "a job: Failed"
    assert "ValueError: <b>no</b>" in sent.body
    assert "Traceback" not in sent.body
    assert "ValueError: &lt;b&gt;no&lt;/b&gt;" in sent.alternatives[0][0]


@pytest.mark.parametrize(
    ("when", "states"),
    [
        ("never", []),
        ("failures", ["failed", "lost"]),
        ("always", ["success", "failed", "cancelled", "lost"]),
    ],
)
def test_what_users_choose(ada, root, when, states):
    wants(ada, when)
    ends = [State.SUCCESS, State.FAILED, State.CANCELLED, State.LOST]
    for state in ends:
        job_that_ends(root, str(state), state)
    assert [sent.subject.partition(":")[0] for sent in told()] == states


def test_the_site_says_what_holds_for_who_has_not_chosen(ada, root, site):
    job_that_ends(root)
    assert told() == []
    site["WHEN"] = "failures"
    job_that_ends(root)
    job_that_ends(root, "failed", State.FAILED)
    assert [sent.subject for sent in told()] == ["failed: Failed"]


@pytest.mark.parametrize(("seconds", "count"), [(30, 1), (90, 0)])
def test_only_of_jobs_that_took_so_long_waiting_included(ada, root, seconds, count):
    wants(ada, "always", seconds)
    submitted = format_date(timezone.now() - timedelta(minutes=1))
    job_that_ends(root, date_created=submitted)
    assert len(told()) == count


def test_a_job_says_it_itself(ada, root, site):
    site["MIN_SECONDS"] = 1000
    job_that_ends(root, notify="always")
    job_that_ends(root, "no failure", notify="failures")
    job_that_ends(root, "silent", State.FAILED, notify="never")
    job_that_ends(root, "others", notify="failures ops@example.org")
    job_that_ends(root, "both", State.FAILED, notify="owner failures ops@example.org")
    assert [(sent.to, sent.subject) for sent in told()] == [
        (["ada@example.org"], "a job: Success"),
        (["ada@example.org"], "both: Failed"),
        (["ops@example.org"], "both: Failed"),
    ]


def test_who_has_chosen_to_hear_nothing_hears_nothing(ada, root):
    wants(ada, "never")
    job_that_ends(root, notify="always")
    job_that_ends(root, notify="owner ops@example.org")
    assert [sent.to for sent in told()] == [["ops@example.org"]]


def test_a_silent_job_is_silent_for_who_wants_to_hear_all(ada, root):
    wants(ada, "always")
    job_that_ends(root, notify="never")
    assert told() == []


@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"email": ""}, {"email": "x@y\nBcc: z@x"}]
)
def test_who_cannot_be_written_to_is_not(ada, root, change):
    wants(ada, "always")
    get_user_model().objects.filter(pk=ada.pk).update(**change)
    job_that_ends(root)
    assert told() == []
    assert stages() == []


def test_jobs_of_nobody_are_told_to_those_that_they_name(site, caplog):
    job_that_ends(Group.of("a robot"), notify="owner ops@example.org nonsense no@address@x")
    assert [sent.to for sent in told()] == [["ops@example.org"]]
    assert "tells 'nonsense', which is not in MOI_NOTIFY[\"WEBHOOKS\"]" in caplog.text
    assert "tells 'no@address@x', which is no e-mail address" in caplog.text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (None, None),
        ("  ", None),
        ("always", ("always", True, (), ())),
        ("failures", ("failures", True, (), ())),
        ("never", ("never", True, (), ())),
        ("a@b.org", ("always", False, ("a@b.org",), ())),
        ("owner a@b.org chat", ("always", True, ("a@b.org",), ("chat",))),
        ("https://u@h.org/x failures", ("failures", False, (), ("https://u@h.org/x",))),
    ],
)
def test_the_words_of_a_job(words, expected):
    wish = parse_wish(words)
    found = wish and (wish.when, wish.has_owner, wish.addresses, wish.webhooks)
    assert found == expected


@pytest.mark.parametrize("words", ["", 7, "x" * 1001, ["always"]])
def test_an_option_that_makes_no_sense_is_refused(words):
    with pytest.raises(InvalidJob, match="notify is"):
        Options(notify=words)


# Languages and texts


def test_in_the_language_of_the_user(ada, root, site):
    site["LANGUAGE"] = lambda user: "de" if user.username == "ada" else None
    wants(ada, "always")
    job_that_ends(root)
    [sent] = told()
    assert sent.subject == "a job: Erfolgreich"
    assert 'lang="de"' in sent.alternatives[0][0]


@pytest.mark.parametrize(("language", "word"), [("fr", "Réussie"), ("xx-nonsense", "Success")])
def test_in_the_language_of_the_job(ada, root, language, word):
    wants(ada, "always")
    job_that_ends(root, language=language)
    assert [sent.subject for sent in told()] == [f"a job: {word}"]


def test_a_name_injects_neither_a_header_nor_markup(ada, root):
    wants(ada, "always")
    name = "x\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script>\0"
    job_that_ends(root, name)
    [sent] = told()
    assert "\n" not in sent.subject
    assert sent.recipients() == ["ada@example.org"]
    raw = sent.message().as_string()
    assert not re.search(r"^Bcc:", raw.partition("\n\n")[0], re.MULTILINE)
    assert "<script>" not in sent.alternatives[0][0]
    assert "&lt;script&gt;" in sent.alternatives[0][0]


def test_a_site_has_templates_of_its_own(ada, root, settings, tmp_path):
    directory = tmp_path / "moi_django" / "notify"
    directory.mkdir(parents=True)
    (directory / "job_subject.txt").write_text("[lab] {{ it.name }}")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [str(tmp_path)]}]
    wants(ada, "always")
    job_that_ends(root)
    assert [sent.subject for sent in told()] == ["[lab] a job"]


# Once


def test_an_end_that_is_heard_of_twice_is_told_once(ada, root):
    wants(ada, "always")
    job_that_ends(root)
    store = get_store()
    entry = store.connection.redis.xrange(store.keys.events)[-1][1]
    store.connection.redis.xadd(store.keys.events, entry)
    assert len(told()) == 1
    store.connection.redis.xadd(store.keys.events, entry)
    assert told() == []


def test_what_cannot_be_sent_is_sent_later_and_given_up_at_last(ada, root, site, caplog):
    site["TRIES"] = 3
    wants(ada, "always")
    job_that_ends(root)
    for tries in (1, 2, 3):
        with override_settings(**NO_MAILS):
            told()
        [message] = Message.objects.all()
        assert message.tries == tries
        Message.objects.update(due_at=timezone.now())
    assert message.stage == Stage.FAILED
    assert message.error
    assert "given up" in caplog.text
    told()
    assert Message.objects.get().tries == 3


def test_what_was_put_off_is_sent(ada, root, site):
    wants(ada, "always")
    with override_settings(**NO_MAILS):
        job_that_ends(root, "one")
        job_that_ends(root, "two")
        told()
    # The second one waits as its address does not answer.
    assert sorted(Message.objects.values_list("tries", flat=True)) == [0, 1]
    assert told() == []
    Message.objects.update(due_at=timezone.now())
    assert sorted(sent.subject for sent in told()) == ["one: Success", "two: Success"]


def test_what_was_sent_long_ago_is_forgotten(ada, root, monkeypatch):
    wants(ada, "always")
    job_that_ends(root)
    told()
    assert stages() == [("email", "sent")]
    monkeypatch.setattr(outbox, "_tidies_at", 0.0)
    told()
    assert stages() == [("email", "sent")]
    Message.objects.update(created_at=timezone.now() - timedelta(days=31))
    monkeypatch.setattr(outbox, "_tidies_at", 0.0)
    told()
    assert stages() == []


# Groups


def test_a_group_is_told_once_when_its_last_job_has_ended(ada, root):
    wants(ada, "always")
    group = Group.create(ada, "Screening")
    jobs = [job_in(get_store(), group, f"job {n}") for n in range(4)]
    for job in jobs[:2]:
        finish(get_store(), job)
    finish(get_store(), jobs[2], State.FAILED, "no")
    assert told() == []
    finish(get_store(), jobs[3])
    [sent] = told()
    assert sent.subject == "Screening: 3 succeeded, 1 failed"
    assert "- job 2" in sent.body
    assert f"https://example.org/moi/groups/{group.id}/" in sent.body
    assert told() == []


def test_what_comes_into_it_later_is_told_by_itself(ada, root):
    wants(ada, "always")
    group = Group.create(ada, "Screening")
    for _ in range(2):
        job_that_ends(group)
    assert len(told()) == 1
    job_that_ends(group, "a late one")
    assert [sent.subject for sent in told()] == ["a late one: Success"]


def test_a_nested_group_is_told_with_the_outermost(ada, root):
    wants(ada, "always")
    outer = Group.create(ada, "outer")
    inner = Group.create(outer, "inner")
    unfinished = job_in(get_store(), outer, "last")
    job_that_ends(inner)
    assert told() == []
    finish(get_store(), unfinished)
    assert [sent.subject for sent in told()] == ["outer: 2 succeeded"]


def test_of_a_group_only_failures_where_that_was_chosen(ada, root):
    wants(ada, "failures")
    group = Group.create(ada, "Screening")
    job_that_ends(group)
    assert told() == []
    for _ in range(2):
        job_that_ends(group, state=State.FAILED)
    [sent] = told()
    assert sent.subject == "Screening: 1 succeeded, 2 failed"


def test_all_of_a_group_together_have_to_take_so_long(ada, root):
    wants(ada, "always", 60)
    short = Group.create(ada, "short")
    for _ in range(2):
        job_that_ends(short)
    long = Group.create(ada, "long")
    submitted = format_date(timezone.now() - timedelta(minutes=2))
    job_that_ends(long, date_created=submitted)
    job_that_ends(long)
    assert [sent.subject for sent in told()] == ["long: 2 succeeded"]
    assert told() == []


def test_a_group_that_was_removed_is_told(ada, root):
    wants(ada, "always")
    group = Group.create(ada, "Screening")
    for _ in range(2):
        job_that_ends(group)
    deliver_all_but_send()
    job_in(get_store(), group, "the last one")
    group.delete()
    [sent] = told()
    assert sent.subject == "Screening: 2 succeeded, 1 cancelled"


def test_a_group_of_which_nobody_knows_the_name_is_called_like_its_last_job(ada, root):
    wants(ada, "always")
    group = Group.create(ada, "Screening")
    for _ in range(2):
        job_in(get_store(), group)
    group.delete()
    assert [sent.subject for sent in told()] == ["a job: 2 cancelled"]


def test_a_group_waits_a_moment_for_what_follows(ada, root, monkeypatch):
    monkeypatch.setattr(group_ends, "GROUP_PAUSE", 60.0)
    wants(ada, "always")
    group = Group.create(ada, "Screening")
    job_that_ends(group)
    assert told() == []
    assert stages() == [("email", "held")]


# Webhooks


def test_a_webhook_that_a_job_names_is_sent_json_that_is_signed(local, root):
    job = job_that_ends(root, "Größe", State.FAILED, "no", notify="chat")
    told()
    [request] = local.requests
    assert request.path == "/hook?a=1"
    signing.verify(SECRET, request.headers, request.body)
    sent = json.loads(request.body)
    assert sent["type"] == "job.finished"
    assert (sent["job"]["id"], sent["job"]["name"]) == (job.id, "Größe")
    assert (sent["job"]["state"], sent["job"]["error"]) == ("failed", "no")
    assert request.headers["Moi-Message"] == sent["message"]
    told()
    assert len(local.requests) == 1


def test_a_webhook_of_all_jobs(local, root, site):
    site["WEBHOOKS"]["chat"]["when"] = "failures"
    job_that_ends(root)
    job_that_ends(root, state=State.LOST, result="gone")
    job_that_ends(Group.of("a robot"), state=State.FAILED, notify="never chat")
    told()
    assert [json.loads(each.body)["job"]["state"] for each in local.requests] == ["lost", "failed"]


def test_a_group_for_a_webhook(local, ada, root):
    group = Group.create(ada, "Screening")
    for _ in range(3):
        job_that_ends(group, notify="chat")
    told()
    [request] = local.requests
    sent = json.loads(request.body)
    assert sent["type"] == "group.finished"
    assert sent["group"]["totals"] == {"success": 3}


def test_an_address_that_a_job_names(local, root, site):
    job_that_ends(root, notify=local.url)
    told()
    signing.verify(SECRET, local.requests[0].headers, local.requests[0].body)
    site["SECRET"] = None
    job_that_ends(root, notify=local.url)
    told()
    assert len(local.requests) == 1
    assert stages() == [("webhook", "failed"), ("webhook", "sent")]


@pytest.mark.parametrize("status", [302, 400, 500])
def test_one_that_does_not_take_it_is_sent_it_again(local, root, status):
    local.status, local.location = status, local.url
    job_that_ends(root, notify="chat")
    told()
    # A redirect was not followed.
    assert len(local.requests) == 1
    assert str(status) in Message.objects.get().error
    local.status = 200
    Message.objects.update(due_at=timezone.now())
    told()
    assert stages() == [("webhook", "sent")]
    assert local.requests[0].headers["Moi-Message"] == local.requests[1].headers["Moi-Message"]


def test_nothing_is_sent_to_this_machine_unless_that_is_allowed(local, root, site):
    site["ALLOWED_NETWORKS"] = []
    job_that_ends(root, notify="chat")
    told()
    assert local.requests == []
    message = Message.objects.get()
    assert message.stage == Stage.FAILED
    assert "127.0.0.1, which is not public" in message.error


def test_a_webhook_that_is_no_more(local, root, site):
    job_that_ends(root, notify="chat")
    deliver_all_but_send()
    site["WEBHOOKS"] = {}
    told()
    assert stages() == [("webhook", "failed")]


def deliver_all_but_send():
    [consumer] = registry.consumers()
    registry.register("notify", consumer.handler)
    deliver_all()
    registry.register("notify", consumer.handler, tick=consumer.tick)


def test_what_another_program_has_written_keeps_nobody_from_being_told(ada, root):
    wants(ada, "always")
    connection = get_store().connection
    # A user with a key that no database has, and a group whose totals are of another type.
    strange = job_that_ends(Group.create("bob", "a sweep"))
    connection.redis.hset(connection.keys.users, strange.ancestors[0], f"user:{10**30}")
    odd = job_that_ends(Group.create(root, "odd"), "in a group")
    connection.redis.set(connection.keys.totals(odd.parent), "odd")
    job_that_ends(root, "by itself")
    assert [mail.subject for mail in told()] == ["in a group: Success", "by itself: Success"]


PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "224.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200"),
    *("::1", "::", "fe80::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
    *(
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "64:ff9b::a9fe:a9fe",
        "192.0.0.192",
        "::ffff:192.0.0.192",
    ),
    *("192.88.99.1", "fec0::1", "3fff::1"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_refused(address):
    assert not is_allowed(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_what_is_public_is_not(address):
    assert is_allowed(ip_address(address))


def test_networks_may_be_allowed():
    assert is_allowed(ip_address("10.1.2.3"), ["10.0.0.0/8"])
    assert is_allowed(ip_address("::ffff:10.1.2.3"), ["10.0.0.0/8"])
    assert not is_allowed(ip_address("10.1.2.3"), ["192.168.0.0/16", "fd00::/8"])


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.org/", "file:///etc/passwd", "http://", "http://u:p@example.org/"),
        *("http://example.org:99999/", "http://exa mple.org/", "http://example.org/\r\nX: 1"),
        *("//example.org", "http://[::1", "gopher://x", "http://ex\u00e4mple.org/"),
    ],
)
def test_what_is_no_address_of_http_is_refused(url):
    with pytest.raises(AddressRefused):
        post(url, b"", {}, 1.0)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "0x7f.1", "[::1]", "2130706433"]
)
def test_no_way_to_write_this_machine_gets_by(host, receiver):
    port = receiver.url.split(":")[2].split("/")[0]
    with pytest.raises((AddressRefused, OSError)):
        post(f"http://{host}:{port}/", b"", {}, 1.0)
    assert receiver.requests == []


def test_a_name_that_leads_elsewhere_at_the_next_look_gets_by_no_more(receiver, monkeypatch):
    """The address that was looked at is the one that is connected to."""
    real, asked = socket.getaddrinfo, []

    def rebinding(host, port, *args, **kwargs):
        asked.append(host)
        place = "127.0.0.1" if len(asked) > 1 else "93.184.216.34"
        return real(place, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    port = receiver.url.split(":")[2].split("/")[0]
    with pytest.raises(OSError):
        post(f"http://rebound.example:{port}/", b"", {}, 0.2)
    assert asked == ["rebound.example"]
    assert receiver.requests == []


def test_an_answer_that_comes_byte_by_byte_ends_all_the_same(receiver):
    receiver.drips = True

    def attempt():
        with pytest.raises((OSError, safe_http.http.client.HTTPException)):
            post(receiver.url, b"{}", {}, 0.5, ["127.0.0.0/8"])

    in_time(5, attempt)


def test_a_server_that_says_nothing_when_it_should_shake_hands(silent):
    port = silent.getsockname()[1]

    def attempt():
        with pytest.raises((OSError, ssl.SSLError)):
            post(f"https://127.0.0.1:{port}/", b"{}", {}, 0.3, ["127.0.0.0/8"])

    in_time(5, attempt)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"Moi-Timestamp": "5"}, "too long ago"),
        ({"Moi-Timestamp": "x"}, "no time"),
        ({"Moi-Timestamp": "1000001"}, "not signed"),
        ({"Moi-Signature": "v1=00"}, "not signed"),
        ({"Moi-Signature": ""}, "not signed"),
    ],
)
def test_what_was_changed_is_not_verified(change, why):
    headers = signing.signed_headers(SECRET, b"body", 1_000_000.0)
    signing.verify(SECRET, headers, b"body", 1_000_010.0)
    with pytest.raises(ValueError, match=why):
        signing.verify(SECRET, {**headers, **change}, b"body", 1_000_010.0)
    with pytest.raises(ValueError, match="not signed"):
        signing.verify(SECRET, headers, b"other", 1_000_010.0)
    with pytest.raises(ValueError, match="too long ago"):
        signing.verify(SECRET, headers, b"body", 1_001_000.0)


# The page


def test_the_page_takes_a_choice(ada, client):
    client.force_login(ada)
    page = client.get("/told/")
    assert page.status_code == 200
    assert "ada@example.org" in page.text
    assert client.post("/told/", {"when": "failures", "min_seconds": "90"}).status_code == 302
    chosen = Preference.objects.get()
    assert (chosen.user, chosen.when, chosen.min_seconds) == (ada, "failures", 90)
    assert client.post("/told/", {"when": "always", "min_seconds": "0"}).status_code == 302
    assert Preference.objects.get().when == "always"
    assert "Your choice is saved." in client.get("/told/").text


def test_it_is_the_users_own(ada, client):
    other = get_user_model().objects.create_user("bob", "bob@example.org", "secret")
    wants(other, "always")
    client.force_login(ada)
    client.post("/told/", {"when": "failures", "min_seconds": "0", "user": other.pk})
    assert Preference.objects.get(user=other).when == "always"
    assert Preference.objects.get(user=ada).when == "failures"


@pytest.mark.parametrize("locale", ["ar", "de", "es", "fr", "zh_Hans"])
def test_the_page_has_no_word_in_english(ada, client, settings, locale):
    settings.LANGUAGE_CODE = locale.lower().replace("_", "-")
    client.force_login(ada)
    refused = client.post("/told/", {"when": "always", "min_seconds": "-1"})
    for page in (client.get("/told/"), refused):
        assert page.status_code == 200
        assert left_in_english(page.text.replace(ada.email, ""), locale) == set()


@pytest.mark.parametrize(
    "given", [{"when": "nonsense", "min_seconds": "1"}, {"min_seconds": "-1"}, {}]
)
def test_a_choice_that_is_none_is_refused(ada, client, given):
    client.force_login(ada)
    assert client.post("/told/", given).status_code == 200
    assert not Preference.objects.exists()


def test_it_needs_a_login_and_a_token(ada, client):
    assert client.get("/told/").status_code == 302
    assert client.post("/told/", {"when": "always", "min_seconds": "0"}).status_code == 302
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    given = {"when": "always", "min_seconds": "0"}
    assert strict.post("/told/", given).status_code == 403
    assert not Preference.objects.exists()


# Checks


def found_by_check():
    return [
        each.id
        for each in run_checks(tags=["moi"])
        if each.id.startswith("moi.") and "06" in each.id
    ]


@pytest.mark.parametrize(
    ("given", "id"),
    [
        ([], "moi.E060"),
        ({"WHAT": 1}, "moi.E060"),
        ({"WHEN": "sometimes"}, "moi.E060"),
        ({"MIN_SECONDS": -1}, "moi.E060"),
        ({"TRIES": 0}, "moi.E060"),
        ({"TIMEOUT": "1"}, "moi.E060"),
        ({"BASE_URL": 1}, "moi.E060"),
        ({"WEBHOOKS": []}, "moi.E060"),
        ({"LANGUAGE": "no.such.function"}, "moi.E061"),
        ({"ADDRESS": 7}, "moi.E061"),
        ({"WEBHOOKS": {"chat": {"url": "ftp://x", "secret": SECRET}}}, "moi.E062"),
        ({"WEBHOOKS": {"chat": {"url": "https://x.org", "secret": "short"}}}, "moi.E062"),
        ({"WEBHOOKS": {"chat": {"url": "https://x.org"}}}, "moi.E062"),
        ({"WEBHOOKS": {"never": {"url": "https://x.org", "secret": SECRET}}}, "moi.E062"),
        ({"WEBHOOKS": {"a b": {"url": "https://x.org", "secret": SECRET}}}, "moi.E062"),
        ({"WEBHOOKS": {"c": {"url": "https://x.org", "secret": SECRET, "when": 1}}}, "moi.E062"),
        ({"WEBHOOKS": {"c": 1}}, "moi.E062"),
        ({"SECRET": "short"}, "moi.E063"),
        ({"ALLOWED_NETWORKS": ["here"]}, "moi.E064"),
        ({"BASE_URL": ""}, "moi.W065"),
    ],
)
def test_what_is_wrong_in_the_settings_is_found(site, settings, given, id):
    base = {"BASE_URL": "https://example.org"}
    settings.MOI_NOTIFY = {**base, **given} if isinstance(given, dict) else given
    assert found_by_check() == [id]


def test_what_is_right_is_not(site, settings):
    settings.MOI_NOTIFY = {
        "BASE_URL": "https://example.org",
        "WEBHOOKS": {"chat": {"url": "https://x.org", "secret": SECRET, "when": "always"}},
        "ALLOWED_NETWORKS": ["10.0.0.0/8"],
        "SECRET": SECRET,
        "LANGUAGE": "django.utils.translation.get_language",
    }
    assert found_by_check() == []


# With the rest


def test_a_job_keeps_its_words_through_a_retry_of_its_function(site, ada):
    from moi_django.jobs.creation import new_job_info

    info = new_job_info(
        "default",
        owners.group_of(ada),
        "x",
        None,
        Options(notify="failures", language="ar"),
        "3.11",
    )
    assert (info.notify, info.language) == ("failures", "ar")
    assert new_job(info).notify is None


def test_the_tables_are_those_of_the_models(site):
    call_command("makemigrations", "moi_notify", check_changes=True, dry_run=True, verbosity=0)
