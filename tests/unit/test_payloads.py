"""An engine runs only what the site has signed for the very job."""

from dataclasses import dataclass, replace

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from moi_django.cluster import payloads
from moi_django.engine.payloads import Payload, verify_payload
from moi_django.exceptions import InvalidJob, PayloadRefused
from moi_django.options import Options
from tests.helpers.records import new_group, new_job

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
OPTIONS = Options(retries=2, timeout=1.5, process="model")
PAYLOAD = Payload(b"call", OPTIONS, "lab", around={"module:name": {"carrier": {"a": "b"}}})
JOB = replace(new_job(new_group("root"), context="lab"), id="a-job")
SIGNED = PAYLOAD.sign(JOB, KEY)


def test_what_was_signed_for_a_job_is_believed():
    assert verify_payload(JOB, SIGNED, [KEY]) == PAYLOAD
    assert verify_payload(JOB, SIGNED, [OTHER_KEY, KEY]) == PAYLOAD


@pytest.mark.parametrize(
    "changes",
    [
        *({"id": id} for id in ("another", "a-job\0", "a-jo", "")),
        *({"context": context} for context in ("other", "lab\0", None)),
        {"path": "another:a-job"},
    ],
    ids=str,
)
def test_the_payload_of_another_job_is_refused(changes):
    with pytest.raises(PayloadRefused, match="not signed by this site"):
        verify_payload(replace(JOB, **changes), SIGNED, [KEY])


@pytest.mark.parametrize("keys", [[OTHER_KEY], [b""], []])
def test_the_payload_of_another_site_is_refused(keys):
    with pytest.raises(PayloadRefused, match="not signed by this site"):
        verify_payload(JOB, SIGNED, keys)


def test_a_payload_that_was_changed_is_refused():
    changed = [
        SIGNED[:place] + bytes([SIGNED[place] ^ 1]) + SIGNED[place + 1 :]
        for place in range(len(SIGNED))
    ]
    for signed in (*changed, SIGNED[:-1], SIGNED + b"x", SIGNED[1:], b"x", b"x" * 32):
        with pytest.raises(PayloadRefused, match="not signed by this site"):
            verify_payload(JOB, signed, [KEY])


@pytest.mark.parametrize("signed", [None, b""])
def test_a_payload_that_is_not_kept_is_refused(signed):
    with pytest.raises(PayloadRefused, match="is not kept"):
        verify_payload(JOB, signed, [KEY])


@dataclass(frozen=True)
class NewerOptions:
    retries: int = 0
    colour: int = 5


def test_the_payload_of_a_version_with_other_options_is_refused():
    signed = Payload(b"call", NewerOptions(), "lab").sign(JOB, KEY)
    with pytest.raises(PayloadRefused, match=r"another version .* 'colour'"):
        verify_payload(JOB, signed, [KEY])


@given(
    retries=st.integers(1, 10),
    backoff=st.floats(0, 1e6),
    timeout=st.none() | st.floats(0.001, 1e6),
    process=st.none() | st.text(min_size=1),
    call=st.binary(max_size=100),
    context=st.text(),
)
@hypothesis_settings(max_examples=50)
def test_a_payload_is_the_same_after_its_journey(retries, backoff, timeout, process, call, context):
    options = Options(
        retries=retries, backoff=backoff, timeout=timeout, process=process, retry_on_lost=True
    )
    payload = Payload(call, options, context, "3.99")
    assert verify_payload(JOB, payload.sign(JOB, KEY), [KEY]) == payload


def test_the_site_signs_with_its_secret_and_believes_its_earlier_ones(settings):
    job = new_job(new_group("root"))
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "old", []
    signed = payloads.sign_payload(job, PAYLOAD)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["older", "old"]
    assert payloads.verify_payload(job, signed) == PAYLOAD
    assert payloads.sign_payload(job, PAYLOAD) != signed
    settings.SECRET_KEY_FALLBACKS = ["older"]
    with pytest.raises(PayloadRefused):
        payloads.verify_payload(job, signed)


def test_the_keys_of_engines_do_not_tell_the_secret(settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "s3cret", [b"bytes"]
    first, second = payloads.payload_keys()
    assert len(first) == len(second) == 32 and first != second
    assert b"s3cret" not in first and b"bytes" not in second


def test_a_call_that_is_too_long_is_refused(settings):
    settings.MOI = {"PAYLOAD_LIMIT": 10}
    payloads.check_length(b"x" * 10)
    with pytest.raises(InvalidJob, match="PAYLOAD_LIMIT"):
        payloads.check_length(b"x" * 11)
