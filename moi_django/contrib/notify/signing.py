"""Sign what is sent to a webhook, and verify it there; needs nothing but Python.

verify("the secret", request.headers, request.body)  # raises ValueError
"""

import hashlib
import hmac
import time
from collections.abc import Mapping

TIMESTAMP, SIGNATURE = "Moi-Timestamp", "Moi-Signature"
# Seconds that a message may be old, or ahead of a clock that is late.
TOLERANCE = 300.0


def signed_headers(secret: str, body: bytes, now: float) -> dict[str, str]:
    """Return the headers that prove a body, sent at a time, to who knows the secret."""
    timestamp = str(int(now))
    return {TIMESTAMP: timestamp, SIGNATURE: f"v1={_digest(secret, timestamp, body)}"}


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float | None = None) -> None:
    """Raise ValueError unless a body was signed with the secret, and lately.

    `headers` finds names in any case, as those of Django and most frameworks do.
    """
    timestamp, signature = headers.get(TIMESTAMP, ""), headers.get(SIGNATURE, "")
    if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > 12:
        raise ValueError("no time of signing")
    present = time.time() if now is None else now
    if abs(present - int(timestamp)) > TOLERANCE:
        raise ValueError("signed too long ago")
    expected = f"v1={_digest(secret, timestamp, body)}"
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise ValueError("not signed with this secret")


def _digest(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
