"""Send a message to another program, signed."""

import json
import time

from moi_django.contrib.notify.conf import setting
from moi_django.contrib.notify.models import Message
from moi_django.contrib.notify.safe_http import AddressRefused, post
from moi_django.contrib.notify.signing import signed_headers
from moi_django.contrib.notify.wishes import is_url


class NotAccepted(Exception):
    """A webhook has answered otherwise than that it has got the message."""


def send(message: Message) -> None:
    """Send a message; raises what `post` does, or NotAccepted."""
    url, secret = _url_and_secret(message.target)
    body = build_body(message)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "moi_django",
        # The same when it is sent again.
        "Moi-Message": message.key,
        **signed_headers(secret, body, time.time()),
    }
    status = post(url, body, headers, setting("TIMEOUT"), setting("ALLOWED_NETWORKS"))
    if not 200 <= status < 300:
        raise NotAccepted(f"it has answered {status}")


def build_body(message: Message) -> bytes:
    """Return what is told, as JSON."""
    kind = "group" if "totals" in message.facts else "job"
    told = {"message": message.key, "type": f"{kind}.finished", kind: message.facts}
    return json.dumps(told).encode()


def _url_and_secret(target: str) -> tuple[str, str]:
    if is_url(target):
        if not setting("SECRET"):
            raise AddressRefused('MOI_NOTIFY["SECRET"] is not set: nothing can be signed')
        return target, setting("SECRET")
    webhook = setting("WEBHOOKS").get(target)
    if webhook is None:
        raise AddressRefused(f'MOI_NOTIFY["WEBHOOKS"] has no {target!r} any more')
    return webhook["url"], webhook["secret"]
