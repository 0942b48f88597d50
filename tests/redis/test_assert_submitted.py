"""What tests of a site are told of the jobs that were submitted."""

from functools import partial
from threading import Lock

from django.contrib.auth import get_user_model
from django.test import TestCase, override_settings

from moi_django import Group, Options, ctx_default, job, submit
from moi_django.exceptions import InvalidJob
from moi_django.test import MoiTestCase, MoiTestMixin, assert_submitted, hold_jobs
from tests.helpers import immediate_jobs

AT_ONCE = {"ON_COMMIT": False}


@job(name="Decorated", retries=1)
def decorated(number):
    return number


@override_settings(MOI=AT_ONCE)
class AssertionTests(MoiTestCase):
    def setUp(self):
        self.ada = get_user_model().objects.create_user("ada")
        self.job = self.send(abs, -1)

    def send(self, func, *args, owner="bob", **kwargs):
        return submit(ctx_default, owner, "A job", None, func, *args, **kwargs)

    def complaint(self, *args, **kwargs):
        with self.assertRaises(AssertionError) as raised:
            self.assert_submitted(*args, **kwargs)
        return str(raised.exception)

    def test_all_is_known_that_was_given(self):
        [found] = self.submitted()
        self.assertEqual((found.func, found.args, found.kwargs), (abs, (-1,), {}))
        self.assertEqual((found.owner, found.context, found.name), ("bob", "default", "A job"))
        self.assertEqual((found.job, found.info.state), (self.job, "success"))
        self.assertEqual((found.options.retries, found.options.language), (0, "en"))
        self.assert_submitted(abs, options=Options(), times=1)
        self.assert_submitted(abs, options=Options(language="en"), times=1)
        self.assert_submitted(abs, options=Options(language="de"), times=0)

    def test_only_what_is_asked_for_is_returned(self):
        group = Group.create(self.ada, "group")
        mine = self.send(abs, -2, owner=group)
        self.assertEqual([each.job for each in self.submitted(owner=self.ada)], [mine])
        self.assertEqual([each.job for each in self.submitted(owner="ada")], [mine])
        self.assertEqual([each.job for each in self.submitted(owner=group)], [mine])
        other = self.send(abs, -2, owner=self.ada)
        self.assertEqual([each.job for each in self.submitted(owner=group)], [mine])
        self.assertEqual([each.job for each in self.submitted(owner=self.ada)], [mine, other])
        self.assertEqual([each.args for each in self.submitted(abs)], [(-1,), (-2,), (-2,)])
        self.assertEqual(self.submitted(abs, args=(-3,)), [])
        self.assertEqual(len(self.submitted("builtins.abs", state="success")), 3)
        with self.assertRaisesRegex(TypeError, "takes no 'arguments'"):
            self.submitted(arguments=())

    def test_functions_are_known_again(self):
        self.send(partial(pow, 2), 3)
        decorated.using(retries=5).submit("bob", 3)
        decorated.map([1], owner="bob")
        self.assert_submitted(partial(pow, 2), times=1)
        self.assert_submitted(pow, times=1)
        both = self.assert_submitted(decorated, times=2)
        self.assertEqual([each.options.retries for each in both], [5, 1])
        self.assertEqual([each.args for each in both], [(3,), (1,)])

        def local():
            pass

        self.send(local)
        self.assert_submitted(local, times=1)

    def test_a_job_among_the_arguments_is_that_job(self):
        self.send(pow, 2, self.job)
        self.assert_submitted(pow, args=(2, self.job), times=1)

    def test_messages_say_what_was_submitted(self):
        with self.assertLogs("moi_django"):
            self.send(immediate_jobs.fail)
        said = self.complaint(decorated, owner=self.ada, args=(5,))
        first, _, *jobs = said.splitlines()
        self.assertIn("test_assert_submitted.decorated, owner=<User: ada>, args=(5,)", first)
        self.assertTrue(first.endswith(" was to be submitted at least once, and was not."), first)
        self.assertEqual(
            jobs,
            [
                "  builtins.abs(-1) of 'bob', as 'A job': success",
                "  tests.helpers.immediate_jobs.fail() of 'bob', as 'A job': failed: "
                "ValueError: no such molecule",
            ],
        )
        said = self.complaint(abs, times=2)
        self.assertIn("was to be submitted 2 times, and was once.", said)

    async def test_messages_come_in_coroutines_too(self):
        said = self.complaint(decorated, owner=self.ada)
        self.assertIn("builtins.abs(-1) of 'bob'", said)

    def test_what_cannot_be_sent_is_there(self):
        self.send(print, Lock())
        [found] = self.submitted(state="failed")
        self.assertEqual((found.func, found.args), (None, ()))
        self.assertIn("(unknown)", str(found))

    def test_the_commit_that_is_missing_is_told(self):
        with override_settings(MOI={}):
            with self.captureOnCommitCallbacks(execute=True):
                self.send(decorated, 1)
            self.assert_submitted(decorated, times=1)
            self.send(abs, -5)
        said = self.complaint(abs, args=(-5,))
        self.assertIn("1 more would be created when the transaction of this test commits", said)
        self.assertIn("captureOnCommitCallbacks(execute=True)", said)


@override_settings(MOI=AT_ONCE)
class OneAfterTheOther(MoiTestMixin, TestCase):
    def test_first(self):
        self.assertEqual(self.submitted(), [])
        submit(ctx_default, "bob", "A job", None, abs, -1)

    test_second = test_first


def test_nothing_is_noted_of_real_jobs(moi, store):
    with hold_jobs():
        try:
            assert_submitted(abs)
        except InvalidJob as error:
            assert "TEST_ISOLATION" in str(error)
        else:
            raise AssertionError("it was not refused")
