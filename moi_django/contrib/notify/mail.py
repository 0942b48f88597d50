"""Send an e-mail in the language of who reads it, as text and as HTML."""

from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation

from moi_django.contrib.notify.conf import setting
from moi_django.contrib.notify.facts import choice_url
from moi_django.contrib.notify.models import Message
from moi_django.models import BAR_PARTS, State
from moi_django.presentation.formatting import format_duration, format_localized

# Seconds for a mail server that EMAIL_TIMEOUT says nothing of.
TIMEOUT = 30.0
MAX_SUBJECT = 200


def send(message: Message) -> None:
    """Send a message by the mail backend of the site; raises what that does."""
    with translation.override(message.language or settings.LANGUAGE_CODE):
        built = build(message)
    connection = _connection()
    if hasattr(connection, "timeout") and connection.timeout is None:
        connection.timeout = TIMEOUT
    connection.send_messages([built])


def _connection() -> Any:
    # From Django 6.1 on `get_connection` is deprecated.
    mailers: Any = getattr(mail, "mailers", None)
    return mailers.default if mailers else mail.get_connection()


def build(message: Message) -> EmailMultiAlternatives:
    """Return the e-mail, in the present language."""
    kind = "group" if "totals" in message.facts else "job"
    context = {**_context(message.facts), "is_users": message.user is not None}
    subject, text, html = (
        render_to_string(f"moi_django/notify/{kind}{suffix}", context)
        for suffix in ("_subject.txt", ".txt", ".html")
    )
    sender = setting("FROM_EMAIL") or settings.DEFAULT_FROM_EMAIL
    built = EmailMultiAlternatives(
        # One line, whatever a job is called.
        subject=" ".join(subject.split())[:MAX_SUBJECT],
        body=text.strip() + "\n",
        from_email=sender,
        to=[message.target],
        headers={
            "Auto-Submitted": "auto-generated",
            # The same when it is sent again, so that a mail program can tell.
            "Message-ID": f"<moi.{message.key[:40]}@{_domain(sender)}>",
        },
    )
    built.attach_alternative(html, "text/html")
    return built


def _context(facts: dict[str, Any]) -> dict[str, Any]:
    totals = facts.get("totals", {})
    state = State(facts["state"]) if facts.get("state") else None
    return {
        "it": facts,
        "state": state,
        "duration": format_duration(facts["seconds"], format_localized),
        "counts": [
            (part, count)
            for part, states in BAR_PARTS.items()
            if (count := sum(totals.get(each, 0) for each in states))
        ],
        "choice_url": choice_url(),
    }


def _domain(sender: str) -> str:
    domain = parseaddr(sender)[1].rpartition("@")[2]
    return domain if domain.isascii() and domain else "localhost"
