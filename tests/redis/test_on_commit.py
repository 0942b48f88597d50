"""What is submitted in transactions starts when all of them have committed, and else never."""

import itertools

import pytest
from django.db import transaction
from django.test import TestCase

from moi_django.jobs.on_commit import defer_to_commit

BOTH = ["default", "other"]


class Undone(Exception):
    pass


def run_in(databases, undone, done, before_commit):
    """Defer something within nested transactions, and undo that of one database."""
    if not databases:
        assert defer_to_commit(lambda: done.append("done"))
        return
    database, *inner = databases
    try:
        with transaction.atomic(database):
            run_in(inner, undone, done, before_commit)
            before_commit.append([*done])
            if database == undone:
                raise Undone
    except Undone:
        return


@pytest.mark.django_db(transaction=True, databases=BOTH)
@pytest.mark.parametrize("undone", [None, *BOTH])
@pytest.mark.parametrize(
    "databases",
    [
        *itertools.permutations(BOTH),
        ["default", "other", "default"],
        ["other", "other", "default"],
        ["default"],
        ["other"],
    ],
    ids=" > ".join,
)
def test_it_waits_for_all_and_for_none_that_is_undone(databases, undone):
    done, before_commit = [], []
    run_in(databases, undone, done, before_commit)
    assert done == ([] if undone in databases else ["done"])
    assert not any(before_commit)


@pytest.mark.django_db(transaction=True, databases=BOTH)
def test_what_cannot_be_done_then_is_logged_and_does_not_undo_the_rest(caplog):
    done = []

    def fail():
        raise Undone("Redis is away")

    with transaction.atomic("default"), transaction.atomic("other"):
        defer_to_commit(fail)
        defer_to_commit(lambda: done.append("done"))
    assert done == ["done"]
    assert "Error calling" in caplog.text and "Redis is away" in caplog.text


@pytest.mark.django_db(transaction=True, databases=BOTH)
def test_without_a_transaction_nothing_is_put_off():
    assert not defer_to_commit(lambda: None)


class InATestCase(TestCase):
    """TestCase has a transaction in each database, and commits none."""

    databases = set(BOTH)

    def test_the_callbacks_of_the_default_database_do_it(self):
        done = []
        with self.captureOnCommitCallbacks(execute=True):
            assert defer_to_commit(lambda: done.append("done"))
        assert done == ["done"]

    def test_those_of_a_transaction_of_the_code_do_it(self):
        done = []
        with (
            self.captureOnCommitCallbacks(using="other", execute=True),
            transaction.atomic("other"),
        ):
            assert defer_to_commit(lambda: done.append("done"))
        assert done == ["done"]
