"""Ports for programs that open them later."""

import socket

import pytest

from moi_django.contrib.services import free_ports as module
from moi_django.contrib.services.free_ports import free_ports


def test_they_are_in_a_row_free_and_none_of_those_the_kernel_hands_out():
    ports = free_ports(15)
    assert ports == list(range(ports[0], ports[0] + 15))
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        assert ports[-1] < given.getsockname()[1]
    for port in ports:
        with socket.socket() as opened:
            opened.bind(("127.0.0.1", port))


def test_one_that_is_in_use_is_left_out(monkeypatch):
    with socket.socket() as taken:
        first = free_ports(4)[0]
        taken.bind(("127.0.0.1", first + 3))
        taken.listen()
        monkeypatch.setattr(module, "LEAST", first)
        monkeypatch.setattr(module, "_first_of_kernel", lambda: first + 400)
        assert all(first + 3 not in free_ports(4) for _ in range(200))


def test_where_there_are_none_it_is_said(monkeypatch):
    with socket.socket() as taken:
        first = free_ports(2)[0]
        taken.bind(("127.0.0.1", first + 1))
        taken.listen()
        monkeypatch.setattr(module, "LEAST", first)
        monkeypatch.setattr(module, "END", first + 2)
        monkeypatch.setattr(module, "_first_of_kernel", lambda: first + 2)
        with pytest.raises(OSError, match=f"No 2 free ports in a row from {first}"):
            free_ports(2)


def test_a_kernel_that_hands_out_nearly_all_leaves_a_choice_nevertheless(monkeypatch, tmp_path):
    file = tmp_path / "range"
    file.write_text("1024\t65535\n")
    monkeypatch.setattr(module, "KERNEL_RANGE", file)
    assert len(free_ports(15)) == 15
