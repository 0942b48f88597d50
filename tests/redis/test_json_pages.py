"""What our pages answer to who asks for JSON; the examples of the docs do so of a real server."""

import json
import os
import re
import subprocess
import uuid
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from moi_django import Group, owners
from moi_django.contrib.events import register, unregister
from moi_django.contrib.events.reader import deliver_all
from moi_django.contrib.history.recorder import record_events
from moi_django.models import State
from tests.helpers.records import finish, job_in, many_jobs_in, mark_retried

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}
DOCS = (Path(__file__).parents[2] / "docs/reference/http.md").read_text()


@pytest.fixture
def ada(moi, transactional_db):
    user = get_user_model().objects.create_user("ada", password="secret")
    user.is_staff = True  # so that the admin lets her log in
    user.save()
    return user


@pytest.fixture
def client(ada):
    client = Client(headers=JSON)
    client.force_login(ada)
    return client


def act(job, name="act"):
    return reverse(f"moi:{name}", args=[job if isinstance(job, str) else job.id])


def names(answer):
    return [member["name"] for member in answer.json()["members"]]


def reason(answer):
    return answer.json()["error"]["reason"]


def test_a_job_is_its_info_object(client, store, job):
    finish(store, job, result="x" * 20_000)
    answer = client.get(f"/moi/jobs/{job.id}/")
    assert answer["Content-Type"] == "application/json"
    assert answer.json() == json.loads(store.jobs.get(job.id).to_wire())
    assert "Accept" in answer["Vary"]


def test_who_asks_for_html_or_anything_gets_the_page(client, job):
    for accepted in ("text/html,application/xhtml+xml,*/*;q=0.8", "*/*"):
        answer = client.get(f"/moi/jobs/{job.id}/", headers={"Accept": accepted})
        assert answer["Content-Type"].startswith("text/html")


def test_what_has_not_changed_is_not_sent_again(client, store, job):
    for address in (f"/moi/jobs/{job.id}/", f"/moi/groups/{job.parent}/", "/moi/jobs/"):
        etag = client.get(address)["ETag"]
        again = client.get(address, headers={"If-None-Match": etag})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)
    store.jobs.change(job.id, lambda info: info.changed(status="on its way"))
    changed = client.get(f"/moi/jobs/{job.id}/", headers={"If-None-Match": etag})
    assert changed.json()["status"] == "on its way"


def test_a_list_is_told_with_its_group(client, ada, store, job):
    answer = client.get("/moi/jobs/").json()
    assert answer["group"]["id"] == owners.find_root_id(ada)
    assert answer["group"]["totals"] == {"queued": 1}
    [sweep] = answer["members"]
    assert (sweep["name"], sweep["size"], answer["next"]) == ("a sweep", 1, None)
    finish(store, job, result="x" * 20_000)
    [member] = client.get(f"/moi/groups/{job.parent}/").json()["members"]
    assert (member["name"], member["result"], member["result_omitted"]) == ("a job", None, True)


def test_members_come_page_by_page(client, ada, store):
    group = Group.create(ada, "many")
    many_jobs_in(store, group, 230)
    address, found = f"/moi/groups/{group.id}/", []
    while address:
        answer = client.get(address)
        found.append(names(answer))
        address = answer.json()["next"]
    assert [len(page) for page in found] == [100, 100, 30]
    assert {name for page in found for name in page} == {f"job {number}" for number in range(230)}


def test_a_list_is_searched_by_state_and_name(client, ada, store, job):
    other, sweep = Group.create(ada, "another"), Group.get(job.parent)
    done = job_in(store, sweep, "a sample")
    finish(store, done)
    job_in(store, other, "another Sample")
    job_in(store, Group.create("bob", "bob's"), "a sample of bob's")
    assert names(client.get("/moi/jobs/?moi_name=sample")) == ["another Sample", "a sample"]
    assert names(client.get("/moi/jobs/?moi_name=sample&moi_state=success")) == ["a sample"]
    assert names(client.get("/moi/jobs/?moi_state=queued")) == ["another Sample", "a job"]
    assert names(client.get(f"/moi/groups/{sweep.id}/?moi_name=SAMPLE")) == ["a sample"]
    assert names(client.get("/moi/jobs/?moi_state=failed")) == []
    assert names(client.get("/moi/jobs/?moi_name=SWEEP")) == ["a sample", "a job"]


def test_a_filter_means_what_it_means_on_a_page(client, ada, store, job):
    for name in ("lost", "again", "failed"):
        state = State.LOST if name == "lost" else State.FAILED
        ended = finish(store, job_in(store, Group.of(ada), name), state)
    mark_retried(store, ended.id, job.id)
    assert names(client.get("/moi/jobs/?moi_state=failed")) == ["again", "lost"]
    assert names(client.get("/moi/jobs/?moi_state=failed&moi_rows=1")) == ["again"]
    ordered = client.get("/moi/jobs/?moi_order=running&moi_rows=3")
    assert (names(ordered), ordered.json()["next"]) == (["a job", "failed", "again"], None)


def test_what_is_found_comes_page_by_page(client, ada, store):
    group = Group.create(ada, "many")
    many_jobs_in(store, group, 130)
    first = client.get("/moi/jobs/?moi_name=job")
    rest = client.get(first.json()["next"])
    assert (len(names(first)), len(names(rest)), rest.json()["next"]) == (100, 30, None)
    assert len({*names(first), *names(rest)}) == 130


@pytest.mark.parametrize(
    "query",
    ["moi_state=done", "page=0", "page=x", "page=-1", "moi_name=a&page=2", "page=99999999999"],
)
def test_a_query_that_makes_no_sense_is_refused(client, query, ada):
    answer = client.get(f"/moi/jobs/?{query}")
    assert answer.status_code == 400 and reason(answer).startswith("There is no ")


def test_who_may_not_see_it_is_told_what_who_asks_for_nothing_is(job):
    get_user_model().objects.create_user("bob")
    client = Client(headers=JSON)
    addresses = [f"/moi/jobs/{job.id}/", f"/moi/groups/{job.parent}/", "/moi/jobs/"]
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 403
        assert answer.json()["error"] == {"reason": "Log in first.", "login": "/accounts/login/"}
    client.force_login(get_user_model().objects.get(username="bob"))
    for id in (job.id, str(uuid.uuid4())):
        answer = client.get(f"/moi/jobs/{id}/")
        assert answer.status_code == 404
        assert reason(answer) == f"There is no {id}, or you may not see it."
    assert names(client.get("/moi/jobs/")) == []


def test_acts_are_done_and_answered(client, store, job):
    answer = client.post(act(job), {"act": "cancel"}).json()
    assert (answer["affected"], answer["info"]["state"]) == (1, "cancelled")
    assert client.post(act(job), {"act": "remove"}).json()["affected"] == 1
    assert store.jobs.get(job.id) is None
    group = job.parent
    job_in(store, Group.get(group), "another")
    answer = client.post(act(group, "act_on_group"), {"act": "cancel"}).json()
    assert (answer["affected"], answer["info"]["id"]) == (1, group)
    assert (answer["info"]["size"], answer["info"]["totals"]) == (1, {"cancelled": 1})
    assert client.post(act(group, "act_on_group"), {"act": "remove"}).json()["affected"] == 2


def test_what_cannot_be_done_is_told_with_why(client, ada, store, job):
    answer = client.post(act(job), {"act": "retry"})
    assert answer.status_code == 409 and "has not ended" in reason(answer)
    answer = client.post(act(job), {"act": "explode"})
    assert answer.status_code == 400 and reason(answer).startswith("Give act=cancel")
    root = act(owners.find_root_id(ada), "act_on_group")
    assert client.post(root, {"act": "remove"}).status_code == 400
    assert store.jobs.get(job.id) == job


def test_who_may_only_see_cannot_act(store, job):
    bob = get_user_model().objects.create_user("bob")
    bob.user_permissions.add(Permission.objects.get(codename="view_jobs"))
    client = Client(headers=JSON)
    client.force_login(bob)
    assert client.get(f"/moi/jobs/{job.id}/").json()["id"] == job.id
    assert client.post(act(job), {"act": "cancel"}).status_code == 404
    assert store.jobs.get(job.id) == job


def test_an_act_needs_the_token_that_an_answer_brings(ada, store, job):
    client = Client(enforce_csrf_checks=True, headers=JSON)
    client.force_login(ada)
    client.cookies.pop("csrftoken", None)
    assert client.post(act(job), {"act": "cancel"}).status_code == 403
    client.get(f"/moi/jobs/{job.id}/")
    token = {"X-CSRFToken": client.cookies["csrftoken"].value}
    answer = client.post(act(job), {"act": "cancel"}, headers={**JSON, **token})
    assert answer.json()["info"]["state"] == "cancelled"


@pytest.mark.parametrize("address", ["/moi/jobs/{}/", "/moi/jobs/"])
def test_without_redis_it_says_when_to_try_again(client, job, moi, address):
    moi["REDIS_URL"] = "redis://127.0.0.1:1/0"
    answer = client.get(address.format(job.id))
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "cannot be shown just now" in reason(answer)


@pytest.fixture
def history(moi):
    """What lets the ends of jobs be kept; to be asked for before the store."""
    register("history", record_events)
    yield
    unregister("history")


def test_a_job_that_has_left_redis_is_told_from_the_history(history, client, store, ada):
    job = job_in(store, Group.create(ada, "a sweep"), "a job")
    finish(store, job, result=42)
    deliver_all()
    store.connection.redis.delete(f"{store.keys.prefix}{job.id}")
    assert client.get(f"/moi/jobs/{job.id}/").json()["result"] == 42


# The examples of the docs


def example(language, port):
    """Return an example as it is for the site of the tests."""
    [block] = re.findall(rf"^```{language}\n(.*?)^```", DOCS, re.M | re.S)
    site = block.replace("https://example.org", f"http://127.0.0.1:{port}")
    return site.replace("/login/", "/admin/login/")


@pytest.mark.django_db(transaction=True)
def test_the_example_in_python_does_what_it_says(port, ada, store, job):
    found = {}
    exec(compile(example("python", port), "http.md", "exec"), found)
    assert [each["state"] for each in found["ended"]] == ["cancelled"]
    assert store.jobs.get(job.id).state is State.CANCELLED
    with pytest.raises(HTTPError) as error:
        urlopen(Request(f"{found['SITE']}/moi/jobs/{job.id}/", headers=JSON))
    with error.value:
        assert error.value.code == 403


@pytest.mark.django_db(transaction=True)
def test_the_example_with_curl_does_what_it_says(port, ada, store, tmp_path):
    job = job_in(store, Group.of(ada), "a sample")
    lines = [line.removeprefix("$ ") for line in example("console", port).splitlines()]
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)],
        env={**os.environ, "JOB": job.id},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    decode = json.JSONDecoder().raw_decode
    listed, end = decode(done.stdout)
    cancelled, _ = decode(done.stdout[end:])
    assert [each["name"] for each in listed["members"]] == ["a sample"]
    assert cancelled["info"]["state"] == "cancelled"
    assert store.jobs.get(job.id).state is State.CANCELLED
