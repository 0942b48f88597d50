"""Sign what a job is to do, so that it can be kept in Redis and sent again.

A payload holds pickled code. It is written and read by the Django side alone, and is believed only
when it bears a signature made with the SECRET_KEY of the site for this very job.
"""

import base64
import json
from dataclasses import asdict, dataclass

from django.core.signing import BadSignature, Signer

from moi_django.conf import conf
from moi_django.engine.runner import PYTHON_VERSION
from moi_django.exceptions import InvalidJob, PayloadRefused
from moi_django.models import Info
from moi_django.options import Options


@dataclass(frozen=True, slots=True)
class Payload:
    """What a job is to do, and how."""

    # The pickled (function, args, kwargs).
    call: bytes
    options: Options
    context: str
    # Version of the Python that pickled the function.
    python: str = PYTHON_VERSION

    def sign(self, id: str) -> str:
        """Return the signed text of it, for one job."""
        how = {"options": asdict(self.options), "context": self.context, "python": self.python}
        head = base64.b64encode(json.dumps(how).encode()).decode()
        return _signer(id).sign(f"{head}.{base64.b64encode(self.call).decode()}")


def check_length(call: bytes) -> None:
    """Raise InvalidJob when a pickled function and its arguments are longer than the limit."""
    if len(call) > conf.PAYLOAD_LIMIT:
        raise InvalidJob(
            f"The function and its arguments take {len(call):,} bytes; MOI['PAYLOAD_LIMIT'] is "
            f"{conf.PAYLOAD_LIMIT:,}. Pass what large arguments are made from instead (a path, a "
            "primary key), and open it in the job."
        )


def verify_payload(info: Info, signed: str | None) -> Payload:
    """Return the payload of a job.

    Raises PayloadRefused when there is none or its signature is not ours.
    """
    if signed is None:
        raise PayloadRefused(
            f"The function of job {info.id} is not kept, as when it succeeded, could not be "
            "pickled, or is longer than MOI['RETRY_PAYLOAD_LIMIT']. Submit it anew."
        )
    try:
        head, call = _signer(info.id).unsign(signed).split(".")
    except BadSignature as error:
        raise PayloadRefused(
            f"The function that is kept for job {info.id} was not signed by this site: somebody "
            "has changed it, or SECRET_KEY is another one now. It is not run."
        ) from error
    how = json.loads(base64.b64decode(head))
    return Payload(base64.b64decode(call), Options(**how["options"]), how["context"], how["python"])


def _signer(id: str) -> Signer:
    return Signer(salt=f"moi_django.payload:{id}")
