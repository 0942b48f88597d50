"""What tests do with a page in a browser."""

from django.test import Client

# Milliseconds that a page has, on a busy machine, to come to what is expected of it.
PATIENCE = 15_000


def session_cookie(user, port):
    """Log a user in; return the cookie that says so at a port of this machine."""
    client = Client()
    client.force_login(user)
    session = client.cookies["sessionid"].value
    return {"name": "sessionid", "value": session, "url": f"http://127.0.0.1:{port}"}


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
