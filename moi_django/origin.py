"""Refuse the pages of other sites, and let in what is no page.

A browser says with every websocket from which page it comes, and no script can keep it from that.
What says nothing is a program: it has no cookie but its own, and needs a session all the same.
"""

from typing import Any

from channels.security.websocket import AllowedHostsOriginValidator


def allowed_origin(application: Any) -> Any:
    """Return a websocket application that pages of hosts outside ALLOWED_HOSTS do not reach."""
    for_pages = AllowedHostsOriginValidator(application)

    async def checked(scope: Any, receive: Any, send: Any) -> None:
        is_page = any(name == b"origin" for name, _ in scope["headers"])
        await (for_pages if is_page else application)(scope, receive, send)

    return checked
