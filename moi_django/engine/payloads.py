"""What a job is to do, as it waits in Redis: signed for this very job, and believed only so.

A payload holds pickled code. The site signs it with a key that it derives from its SECRET_KEY and
hands to its engines with the work: who can write to Redis cannot make an engine run anything, nor
run a job as another owner's or in another context.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from moi_django.engine.pickling import PYTHON_VERSION
from moi_django.exceptions import PayloadRefused
from moi_django.models import Info
from moi_django.options import Options

# Bytes of a signature.
SIGNATURE_LENGTH = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Payload:
    """What a job is to do, and how."""

    # The pickled (function, args, kwargs).
    call: bytes
    options: Options
    context: str
    # Version of the Python that pickled the function.
    python: str = PYTHON_VERSION
    # Id of each job and group whose result is an argument -> id of the one that gives it now.
    inputs: dict[str, str] = field(default_factory=dict)
    # What the job process enters: path of a context manager, "module:name" -> its argument.
    around: dict[str, object] = field(default_factory=dict)

    def sign(self, info: Info, key: bytes) -> bytes:
        """Return it as bytes, signed for one job."""
        # As asdict() does, which would copy each value.
        options = {each.name: getattr(self.options, each.name) for each in fields(self.options)}
        how = {"options": options, "context": self.context, "python": self.python}
        how |= {"inputs": self.inputs, "around": self.around}
        body = json.dumps(how, separators=(",", ":")).encode() + b"\n" + self.call
        return _signature(info, key, body) + body


def verify_payload(info: Info, signed: bytes | None, keys: Sequence[bytes]) -> Payload:
    """Return the payload of a job that was signed for it with one of the keys.

    Raises PayloadRefused when there is none, its signature is not ours, or it is of a version that
    knows other options.
    """
    if not signed:
        raise PayloadRefused(
            f"The function of job {info.id} is not kept, as when it succeeded, could not be "
            "pickled, or is longer than MOI['RETRY_PAYLOAD_LIMIT']. Submit it anew."
        )
    given, body = signed[:SIGNATURE_LENGTH], signed[SIGNATURE_LENGTH:]
    if not any(hmac.compare_digest(given, _signature(info, key, body)) for key in keys):
        raise PayloadRefused(
            f"The function that is kept for job {info.id} was not signed by this site: somebody "
            "has changed it or the job, or SECRET_KEY is another one now. It is not run."
        )
    head, _, call = body.partition(b"\n")
    how = json.loads(head)
    try:
        options = Options(**how["options"])
        return Payload(call, options, how["context"], how["python"], how["inputs"], how["around"])
    except (TypeError, KeyError) as error:
        raise PayloadRefused(
            f"Job {info.id} was submitted by another version of moi_django: {error}. It is not run."
        ) from error


def _signature(info: Info, key: bytes, body: bytes) -> bytes:
    whose = json.dumps([info.id, info.owner, info.context]).encode()
    return hmac.digest(key, whose + b"\0" + body, "sha256")
