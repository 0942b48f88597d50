"""Hosts of an ssh context that do not answer are told apart from those that do."""

from pathlib import Path

import pytest

from moi_django.contrib.clusters.context_settings import ContextSettings
from moi_django.contrib.clusters.launchers import make_launcher
from moi_django.exceptions import ServiceError

# Stands for ssh: a host that is off refuses, another one is this.
SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
case "$2" in off*) echo "no route to $2" >&2; exit 255;; esac
exec /bin/sh -c "$3"
"""


@pytest.fixture
def launcher(monkeypatch, settings, tmp_path):
    """Return what makes the launcher of a context with hosts."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/ssh"
    program.write_text(SSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    settings.MOI = {"STATE_DIR": str(tmp_path)}

    def make(**hosts):
        context = ContextSettings("farm", "ssh", 1, 0, 9, hosts=tuple(hosts.items()))
        return make_launcher(context, Path("none"), ())

    return make


def test_a_host_is_silent_beside_others_and_nothing_is_known_where_all_are(launcher):
    some = launcher(on=1, off=1).list_slots()
    assert (some.slots, some.problems) == ([], [])
    assert some.silent == {"off": "off: ssh: no route to off"}
    none = launcher(off=1, off2=1).list_slots()
    assert len(none.problems) == 2 and not none.silent


def test_engines_that_have_room_on_silent_hosts_alone_are_refused_with_the_reason(launcher):
    with pytest.raises(ServiceError, match="no route to off"):
        launcher(on=0, off=2).submit(1)
    with pytest.raises(ServiceError, match="no room for more engines until some end"):
        launcher(on=0).submit(1)


def test_as_many_start_as_there_is_room_for_beside_engines_that_leave(launcher):
    assert launcher(on=2, on2=1, off=4)._share_out(9) == {"on": 2, "on2": 1}
