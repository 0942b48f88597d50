"""`manage.py runserver` of our own: what it serves, and that the one before stays to be had."""

import re
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command, load_command_class

from moi_django.contrib.services.web_server import require_uvicorn
from moi_django.exceptions import MoiError
from tests.helpers.processes import environment, free_port, manage
from tests.helpers.websocket import connected, hear, say

pytestmark = pytest.mark.django_db(transaction=True)

APP = {"MOI_TEST_RUNSERVER": "moi_django.contrib.runserver", "MOI_TEST_DEBUG": "1"}


@contextmanager
def runserver(ready, *arguments, **env):
    """Run it until the block ends, having said `ready`; give where it is, and all that it says."""
    port, said = free_port(), []
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "runserver", "--noreload", str(port), *arguments],
        env=environment(**APP, **env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for line in process.stdout:
            said.append(line)
            if ready in line:
                break
        yield f"127.0.0.1:{port}", said
    finally:
        process.terminate()
        said += process.communicate()[0].splitlines(keepends=True)


def fetch(address):
    with urllib.request.urlopen(f"http://{address}") as response:
        return response.headers["Server"], response.read()


async def test_it_serves_pages_static_files_and_websockets_below_a_script_name(site_env):
    ada = await get_user_model().objects.acreate_user("ada")
    env = {
        "MOI_TEST_APPLICATION": "tests.site.applications.whole",
        "MOI_TEST_SCRIPT_NAME": "/lab",
        # Relative, so that it is below the name, too.
        "MOI_TEST_STATIC_URL": "static/",
    }
    with runserver("the application starts", **site_env, **env) as (server, said):
        _, page = fetch(f"{server}/lab/")
        assert b'src="/lab/static/moi_django/moi.js"' in page
        assert b"customElements" in fetch(f"{server}/lab/static/moi_django/moi.js")[1]
        async with connected(server, ada, "/lab/moi-ws/") as page:
            await say(page, "live", None)
            assert (await hear(page))[0] == "live"
    text = "".join(said)
    assert "System check identified no issues" in text
    assert re.search(rf"Starting (ASGI )?development server at http://{server}/", text)
    assert "Serving tests.site.applications.whole and its websockets" in text
    assert '"GET /lab/ HTTP/1.1" 200' in text and "WebSocket CONNECT /lab/moi-ws/" in text


def test_it_can_serve_as_before(site_env):
    with runserver("production servers", "--noasgi", **site_env) as (server, said):
        software, page = fetch(f"{server}/")
        assert "WSGIServer" in software and b"moi.js" in page
        assert b"customElements" in fetch(f"{server}/static/moi_django/moi.js")[1]
        taken = manage("runserver", "--noreload", server, **APP)
        assert (taken.returncode, "already in use" in taken.stderr) == (1, True)
    assert "Serving " not in "".join(said)


def test_it_keeps_the_options_of_staticfiles_and_the_static_files_off(settings, monkeypatch):
    settings.INSTALLED_APPS = ["moi_django.contrib.runserver", *settings.INSTALLED_APPS]
    command = load_command_class("moi_django.contrib.runserver", "runserver")
    parser = command.create_parser("manage.py", "runserver")
    options = vars(parser.parse_args(["--nostatic", "--insecure", "-6", "--noreload"]))
    assert not options["use_static_handler"] and options["insecure_serving"]
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in ("runserver", "moi"):
        arguments = ["8000", "--noreload"] if name == "runserver" else ["up"]
        with pytest.raises(CommandError, match="uvicorn is missing: `pip install"):
            call_command(name, *arguments)
    with pytest.raises(MoiError, match=r"moi_django\[embedded\]"):
        require_uvicorn()
