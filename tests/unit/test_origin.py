"""Which pages may open a websocket: those of the host and port that is asked, and those named."""

import pytest

from moi_django.origin import _is_allowed

OWN = "lab.example"


def asked(host=OWN, **headers):
    """Return the scope of a websocket to a host."""
    given = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [(name.encode(), value.encode()) for name, value in given.items()]
    return {"type": "websocket", "path": "/moi-ws/", "scheme": "ws", "headers": lines}


@pytest.fixture(autouse=True)
def hosts(settings):
    settings.ALLOWED_HOSTS = [OWN, ".other.example", "127.0.0.1", "[::1]"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.trusted.example", "http://dev.example:5173"]


@pytest.mark.parametrize(
    ("host", "origin", "is_allowed"),
    [
        (OWN, "https://lab.example", True),
        (OWN, "http://lab.example", True),
        (OWN, "https://lab.example:443", True),
        (OWN, "https://lab.example:8443", False),
        ("lab.example:443", "https://lab.example", True),
        ("lab.example:8443", "https://lab.example:8443", True),
        ("lab.example:8443", "https://lab.example", False),
        ("127.0.0.1:8101", "http://127.0.0.1:8101", True),
        ("127.0.0.1:8101", "http://127.0.0.1:9999", False),
        ("127.0.0.1:8101", "http://127.0.0.1", False),
        ("127.0.0.1:8101", "http://localhost:8101", False),
        ("[::1]:8000", "http://[::1]:8000", True),
        ("[::1]:8000", "http://[::1]:8001", False),
        (OWN, "https://www.other.example", True),
        (OWN, "https://other.example:8000", False),
        (OWN, "https://evil-other.example", False),
        (OWN, "https://a.trusted.example", True),
        (OWN, "http://a.trusted.example", False),
        (OWN, "https://a.trusted.example:444", False),
        (OWN, "http://dev.example:5173", True),
        (OWN, "http://dev.example:5174", False),
        (OWN, "https://lab.example.evil.example", False),
        (OWN, "https://lab.example@evil.example", False),
        (OWN, "https://evil.example/https://lab.example", False),
        (OWN, "https://lab.example:0x1f", False),
        (OWN, "https://[lab.example", False),
        (OWN, "ftp://lab.example", False),
        (OWN, "lab.example", False),
        (OWN, "null", False),
        (OWN, "", False),
        ("unknown.example", "https://unknown.example", False),
        ("unknown.example", "https://lab.example", True),
    ],
)
def test_a_page_comes_from_where_it_asks(host, origin, is_allowed):
    assert _is_allowed(asked(host), origin) is is_allowed


def test_a_wildcard_lets_no_other_site_in(settings):
    settings.ALLOWED_HOSTS = ["*"]
    assert _is_allowed(asked("any.example:8000"), "http://any.example:8000")
    assert not _is_allowed(asked("any.example:8000"), "http://evil.example")
    assert not _is_allowed(asked("any.example"), "https://evil.example")


def test_a_proxy_may_say_what_was_asked(settings):
    scope = asked("127.0.0.1:8000", x_forwarded_host="lab.example")
    assert _is_allowed(scope, "https://lab.example")  # it is named
    assert not _is_allowed(scope, "https://lab.example:8443")
    settings.USE_X_FORWARDED_HOST = True
    scope = asked("127.0.0.1:8000", x_forwarded_host="lab.example:8443")
    assert _is_allowed(scope, "https://lab.example:8443")
    assert not _is_allowed(scope, "https://lab.example")
