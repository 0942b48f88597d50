"""The keys with which this site signs what its jobs are to do."""

from collections.abc import Callable
from functools import lru_cache

from django.conf import settings
from django.utils.crypto import salted_hmac

from moi_django.conf import conf
from moi_django.engine import payloads
from moi_django.engine.payloads import Payload
from moi_django.exceptions import InvalidJob
from moi_django.models import Info


def payload_keys() -> tuple[bytes, ...]:
    """Return the keys that are believed, the one to sign with first; none tells a SECRET_KEY."""
    return tuple(map(_derive_key, [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]))


# Told of each job and its payload when that is signed: tests look at what was submitted.
observers: list[Callable[[Info, Payload], object]] = []


def sign_payload(info: Info, payload: Payload) -> bytes:
    """Return a payload as it is kept, signed for a job."""
    for observe in observers:
        observe(info, payload)
    return payload.sign(info, payload_keys()[0])


def verify_payload(info: Info, signed: bytes | None) -> Payload:
    """Return the payload of a job; raises PayloadRefused as that of engines does."""
    return payloads.verify_payload(info, signed, payload_keys())


def check_length(call: bytes) -> None:
    """Raise InvalidJob when a pickled function and its arguments are longer than the limit."""
    if len(call) > conf.PAYLOAD_LIMIT:
        raise InvalidJob(
            f"The function and its arguments take {len(call):,} bytes; MOI['PAYLOAD_LIMIT'] is "
            f"{conf.PAYLOAD_LIMIT:,}. Pass what large arguments are made from instead (a path, a "
            "primary key), and open it in the job."
        )


@lru_cache(maxsize=16)
def _derive_key(secret: str | bytes) -> bytes:
    return salted_hmac("moi_django.payload", b"", secret=secret, algorithm="sha256").digest()
