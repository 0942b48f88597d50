"""Jobs of all users, searched and filtered, page by page."""

from itertools import chain

import pytest
from django.contrib.auth import get_user_model

from moi_django import Group
from moi_django.contrib.monitoring import job_search
from moi_django.contrib.monitoring.job_search import PAGE_SIZE, JobQuery
from moi_django.models import State
from tests.helpers.records import finish, job_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada(moi):
    return get_user_model().objects.create_superuser("ada", "ada@example.org")


@pytest.fixture
def jobs(store, ada):
    mine, other = Group.of(ada), Group.of("night shift")
    return {
        "sweep": job_in(store, Group.create(mine, "parts"), "A sweep", context="gpu"),
        "search": finish(store, job_in(store, other, "Sequence SEARCH", context="default")),
        "lost": finish(store, job_in(store, mine, "search again", context="gpu"), State.LOST),
    }


def names(ada, **wanted):
    return [row.info.name for row in job_search.search_jobs(ada, JobQuery(**wanted)).rows]


def test_all_of_them_with_their_owners(ada, jobs):
    rows = job_search.search_jobs(ada).rows
    assert [(row.info.name, row.owner) for row in rows] == [
        ("search again", "ada"),
        ("Sequence SEARCH", "night shift"),
        ("A sweep", "ada"),
    ]
    assert rows[2].ran is None
    assert 0 <= rows[2].waited < 60
    assert 0 <= rows[0].ran < 60


def test_an_owner_of_whom_nothing_is_known_is_an_id(ada, jobs, store):
    store.connection.redis.delete(store.keys.users)
    assert {row.owner for row in job_search.search_jobs(ada).rows} == {
        job.owner for job in jobs.values()
    }


def test_search_and_filters(ada, jobs):
    assert names(ada, text="search") == ["search again", "Sequence SEARCH"]
    assert names(ada, text="night shift") == ["Sequence SEARCH"]
    assert names(ada, text=jobs["sweep"].id) == ["A sweep"]
    assert names(ada, text=jobs["sweep"].id[:10]) == ["A sweep"]
    assert names(ada, text=jobs["sweep"].parent) == ["A sweep"]
    assert names(ada, owner="ada") == ["search again", "A sweep"]
    assert names(ada, owner=jobs["search"].owner) == ["Sequence SEARCH"]
    assert names(ada, owner="nobody") == []
    assert names(ada, context="gpu") == ["search again", "A sweep"]
    assert names(ada, state="lost") == ["search again"]
    assert names(ada, text="search", state="success", context="default", owner="night shift") == [
        "Sequence SEARCH"
    ]
    assert names(ada, text=jobs["sweep"].id, state="lost") == []
    assert names(ada, text="\x00", owner="ada\x00") == []
    assert [job_search.parse_state(text) for text in ("lost", "x", "")] == ["lost", "", ""]


def read_all(ada, wanted):
    """Return the names on each page, as one who asks for older jobs again and again."""
    pages, place = [], None
    while True:
        found = job_search.search_jobs(ada, wanted, place)
        pages.append([row.info.name for row in found.rows])
        place = found.older
        if place is None:
            return pages


def test_pages(ada, store):
    group = Group.of(ada)
    for number in range(2 * PAGE_SIZE + 20):
        job_in(store, group, f"{'odd' if number % 2 else 'even'} {number}")
    pages = read_all(ada, JobQuery())
    assert [len(page) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 20]
    expected = [f"{'odd' if n % 2 else 'even'} {n}" for n in reversed(range(2 * PAGE_SIZE + 20))]
    assert list(chain(*pages)) == expected
    pages = read_all(ada, JobQuery(text="even"))
    assert [len(page) for page in pages] == [PAGE_SIZE, 10]
    assert list(chain(*pages)) == [name for name in expected if "even" in name]


def test_a_search_looks_at_so_many_jobs_and_offers_to_go_on(ada, store, monkeypatch):
    monkeypatch.setattr(job_search, "MAX_SCANNED", 200)
    group = Group.of(ada)
    job_in(store, group, "needle")
    for number in range(250):
        job_in(store, group, f"hay {number}")
    found = job_search.search_jobs(ada, JobQuery(text="needle"))
    assert (found.rows, found.looked_at, found.is_cut) == ([], 200, True)
    found = job_search.search_jobs(ada, JobQuery(text="needle"), found.older)
    assert ([row.info.name for row in found.rows], found.is_cut) == (["needle"], False)


def test_jobs_of_an_owner_are_found_among_those_of_many(ada, jobs, store, monkeypatch):
    monkeypatch.setattr(job_search, "MAX_SCANNED", 200)
    for number in range(250):
        job_in(store, Group.of("somebody"), f"hay {number}")
    assert names(ada, owner="ada") == ["search again", "A sweep"]
    assert names(ada, owner=jobs["sweep"].parent) == ["A sweep"]
    assert names(ada, owner="ada", state="lost") == ["search again"]


def test_the_hook_of_the_site_hides_jobs(ada, jobs, moi):
    moi["AUTHORIZE"] = lambda user, action, info: None if info.context == "gpu" else False
    assert names(ada) == ["search again", "A sweep"]
