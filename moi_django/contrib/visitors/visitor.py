"""A visitor who is not logged in, and whose jobs those are that the session has a key of.

The key is random, stays in the session, and is told to nobody: Redis knows its digest. The key of
the session itself would not do. A login changes it, and it must not be written down anywhere.
"""

import hashlib
import re
import secrets
from typing import Any

from django.contrib.auth.models import AnonymousUser

from moi_django.contrib.visitors.pruning import drop_expired_visitors
from moi_django.owners import VISITOR

# Where the session has the key, and what is one.
SESSION_KEY, _KEY = "moi_visitor", re.compile(r"[0-9a-f]{32}")


class Visitor(AnonymousUser):
    """The anonymous user of one session, as `request.user` and the websocket have it."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._session = session

    def moi_field(self, makes: bool = False) -> str | None:
        """Return under what name the map of users keeps the visitor.

        It is None until jobs are to be the visitor's for the first time, which `makes` says: who
        only looks at pages gets no session.
        """
        key = self._session.get(SESSION_KEY)
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            if not makes:
                return None
            key = self._session[SESSION_KEY] = secrets.token_hex(16)
            drop_expired_visitors()
        elif makes:
            self._session.modified = True  # it lives as long as the latest jobs
        return f"{VISITOR}{hashlib.sha256(key.encode()).hexdigest()[:24]}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Visitor) and self.moi_field() == other.moi_field()

    __hash__ = AnonymousUser.__hash__


def find_visitor(user: Any, session: Any) -> Any:
    """Return who a session is, in which `user` is logged in, or nobody."""
    return user if user.is_authenticated or session is None else Visitor(session)
