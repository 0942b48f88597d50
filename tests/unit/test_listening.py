"""Where `moi up` serves, and where what it starts finds modules."""

import socket
import sys

import pytest

from moi_django.contrib.services import listening
from moi_django.contrib.services.listening import bind_socket, describe_move, socket_address
from moi_django.contrib.services.python_path import python_path
from moi_django.exceptions import ServiceError, UsageError


@pytest.fixture
def taken(monkeypatch):
    """The usual port, which another program has."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(listening, "USUAL_PORT", other.getsockname()[1])
        yield listening.USUAL_PORT


def test_the_next_free_port_is_taken_unless_one_is_named(taken):
    with bind_socket(None) as bound:
        assert bound.getsockname()[1] > taken
        assert f"Port {taken} is taken" in describe_move(bound)
    with pytest.raises(ServiceError, match=r"in use.*--bind"):
        bind_socket(f"127.0.0.1:{taken}")


def test_two_that_start_at_once_have_different_ports(taken):
    with bind_socket(None) as one, bind_socket(None) as other:
        assert one.getsockname() != other.getsockname()
        with pytest.raises(ServiceError, match=r"in use.*--bind"):
            bind_socket(socket_address(one))


def test_no_port_is_sought_for_ever(taken, monkeypatch):
    monkeypatch.setattr(listening, "PORTS_TRIED", 0)
    with pytest.raises(ServiceError, match=f"Cannot serve on 127.0.0.1:{taken}"):
        bind_socket(None)


def test_the_usual_port_is_used_when_it_is_free(taken, monkeypatch):
    monkeypatch.setattr(listening, "USUAL_PORT", taken + 1)
    with bind_socket(None) as bound:
        moved = bound.getsockname()[1] != taken + 1  # somebody else may have that one, too
        assert (describe_move(bound) is not None) is moved


@pytest.mark.parametrize("bind", ["nonsense", "localhost:", "localhost:70000", "localhost:²"])
def test_what_is_no_address_is_wrong_usage(bind):
    with pytest.raises(UsageError, match="HOST:PORT"):
        bind_socket(bind)


def test_an_address_of_either_kind_stands_in_a_url():
    with bind_socket("[::1]:0") as bound:
        assert socket_address(bound) == f"[::1]:{bound.getsockname()[1]}"
    with bind_socket("0") as bound:
        assert socket_address(bound).startswith("127.0.0.1:")


def test_children_find_what_the_command_was_told_of_and_what_is_beside_it(monkeypatch):
    installed = [entry for entry in sys.path if "python3" in entry]
    # As --pythonpath, a manage.py and PYTHONPATH leave it.
    monkeypatch.setattr(sys, "path", ["/more", "/site", "/more", *installed])
    assert python_path() == "/more:/site"
