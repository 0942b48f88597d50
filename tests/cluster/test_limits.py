"""Names, statuses and functions have a maximum length."""

import pytest

from moi_django import Group, ctx_default, submit, submit_nouser
from moi_django.exceptions import InvalidJob
from tests.helpers.processes import wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)


SOON = 30


def test_a_long_name_and_a_long_status_are_cut(cluster, moi, tmp_path):
    moi.update(NAME_LIMIT=10, STATUS_LIMIT=20)
    gate = tmp_path / "gate"
    job = submit(ctx_default, "ada", "n" * 50, None, work.held_with, str(gate), "s" * 50)
    wait_for(lambda: job.refresh().status == "s" * 20)
    gate.touch()
    assert job.wait(SOON).name == "n" * 10


def test_a_function_with_too_much_to_carry_is_refused_and_leaves_nothing(cluster, moi):
    moi["PAYLOAD_LIMIT"] = 10_000
    with pytest.raises(InvalidJob, match=r"MOI\['PAYLOAD_LIMIT'\] is 10,000"):
        submit_nouser(len, b"x" * 20_000)
    assert Group.of("no-user").jobs() == []
