"""What tests do with a page in a browser."""

from django.test import Client

# Milliseconds that a page has, on a busy machine, to come to what is expected of it.
PATIENCE = 30_000


def session_cookie(user, port):
    """Log a user in; return the cookie that says so at a port of this machine."""
    client = Client()
    client.force_login(user)
    session = client.cookies["sessionid"].value
    return {"name": "sessionid", "value": session, "url": f"http://127.0.0.1:{port}"}


class Contexts:
    """The contexts of a browser, those with the same options used again by the next test.

    Each test finds them without a cookie, with an empty page, and uses one of a kind once. A new
    one, or one whose last page was closed, takes most of the time of a visit to get going.
    """

    def __init__(self, browser):
        self._browser = browser
        self._kept, self._taken, self._new = {}, [], []

    def take(self, is_new, **options):
        """Return a context; a new one when `is_new`, as for what changes the context itself."""
        kind = repr(sorted(options.items()))
        kept = self._kept.get(kind)
        if is_new or kept in self._taken:
            self._new.append(self._browser.new_context(**options))
            return self._new[-1]
        if kept is None:
            kept = self._kept[kind] = self._browser.new_context(**options)
            kept.new_page()
        self._taken.append(kept)
        return kept

    def give_back(self):
        """Close the pages of a test."""
        while self._new:
            self._new.pop().close()
        while self._taken:
            context = self._taken.pop()
            for page in context.pages[1:]:
                page.close()
            context.clear_cookies()


def row(page, name):
    return page.locator(".moi-item", has=page.locator(f".moi-name:text-is('{name}')")).last


def press_twice(page, button, after):
    """Double click, slowly enough for the page to change in between."""
    box = button.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for count in (1, 2):
        page.mouse.down(click_count=count)
        page.mouse.up(click_count=count)
        after()


def ask(page, url=None):
    """Return what the server answers to a page's user.

    Playwright's own client keeps connections, and fails where the server closes one just then.
    """
    return page.context.request.get(url or page.url, max_retries=3)
