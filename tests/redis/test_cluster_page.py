"""The page of clusters in the admin: who may see and scale, and what it says of one that is off."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/admin/moi_django/alljobs/clusters/"


@pytest.fixture
def lab(moi, tmp_path):
    """A context on this host that was not started."""
    moi["STATE_DIR"] = tmp_path
    moi["CONTEXTS"] = {"default": {}, "lab": {"LAUNCHER": "local", "ENGINES": (0, 2)}}
    return moi


def client_with(*permissions):
    client = Client()
    user = get_user_model().objects.create_user("ada", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


def test_who_may_not_see_the_jobs_of_all_does_not_see_it(lab):
    client = client_with("change_jobs")
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, {"context": "lab", "engines": "1"}).status_code == 403


def test_who_may_not_change_jobs_does_not_scale(lab):
    client = client_with("view_jobs")
    assert client.get(PAGE).status_code == 200
    assert client.post(PAGE, {"context": "lab", "engines": "1"}).status_code == 403


def test_a_cluster_that_is_off_says_how_it_is_started(lab):
    page = client_with("view_jobs", "change_jobs").get(PAGE).content.decode()
    assert "moi cluster start --context=lab" in page
    assert "<form" not in page.split('class="moi-panel"')[1]


@pytest.mark.parametrize(
    "context, engines, said",
    [
        ("lab", "1", "Context lab does not run"),
        ("lab", "3", "Context lab has 0 to 2 engines, not 3."),
        ("lab", "many", "not -1"),
        ("<b>", "1", "Context &lt;b&gt; has no LAUNCHER"),
    ],
)
def test_what_cannot_be_done_is_said(lab, context, engines, said):
    client = client_with("view_jobs", "change_jobs")
    answer = client.post(PAGE, {"context": context, "engines": engines}, follow=True)
    assert said in answer.content.decode()


def test_the_panel_leads_there_when_a_context_has_a_launcher(lab):
    client = client_with("view_jobs")
    assert PAGE in client.get("/admin/moi_django/alljobs/").content.decode()
    lab["CONTEXTS"] = {"default": {}}
    assert PAGE not in client.get("/admin/moi_django/alljobs/").content.decode()


def test_a_context_that_makes_no_sense_is_named_beside_the_others(lab):
    lab["CONTEXTS"] |= {"odd": {"LAUNCHER": "slum"}}
    page = client_with("view_jobs").get(PAGE).content.decode()
    assert "&#x27;slum&#x27; is none." in page
    assert "moi cluster start --context=lab" in page
