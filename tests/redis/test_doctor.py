"""The doctor finds faults by name that can be made with one Redis, ports and files."""

import json
import os
import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from functools import partial

import pytest
import redis
from django.core.management import call_command

from moi_django.contrib.doctor import cluster_checks, connection, engine_report, host, redis_checks
from moi_django.contrib.doctor.connection import CHECK_OF_PORT
from moi_django.contrib.doctor.finding import CHECKS, Finding, Level, fault, ok, shortened
from tests.helpers.processes import ROOT, environment, free_port, in_time
from tests.helpers.silent_port import silent_port

PORTS = ["registration", "control", "mux", "task", "iopub", "hb_ping", "hb_pong", "broadcast"]


@pytest.fixture
def patient(monkeypatch):
    """Let what answers take its time, as on a busy machine; what is silent takes that, too."""
    for module in (connection, engine_report, redis_checks):
        monkeypatch.setattr(module, "TIMEOUT", 20.0)
    monkeypatch.setattr(cluster_checks, "STATUS_TIMEOUT", 20.0)
    monkeypatch.setattr(host, "SETTINGS_TIMEOUT", 20.0)


@pytest.fixture
def listening():
    """Ports that take connections, by name."""
    with ExitStack() as opened:
        servers = {
            name: opened.enter_context(socket.create_server(("127.0.0.1", 0))) for name in PORTS
        }
        yield {name: server.getsockname()[1] for name, server in servers.items()}


@pytest.fixture
def write(tmp_path, listening):
    """Write a connection file like that of a controller of this host."""

    def write(**changes):
        said = {
            "interface": "tcp://127.0.0.1",
            "location": socket.gethostname(),
            "key": "a key",
            "signature_scheme": "hmac-sha256",
            "curve_serverkey": None,
            **listening,
            **changes,
        }
        said["broadcast"] = [said["broadcast"]]
        file = tmp_path / "ipcontroller-engine.json"
        file.write_text(json.dumps(said))
        return file

    return write


def faults(found):
    return {each.check for each in found if each.level is Level.FAULT}


@pytest.mark.parametrize("name", PORTS)
def test_a_shut_port_is_found_by_name(write, name, patient, monkeypatch):
    monkeypatch.setattr(engine_report, "TIMEOUT", 1.0)
    with silent_port() as port:
        found = host.examine_controller(write(**{name: port}))
    [finding] = [each for each in found if each.check == CHECK_OF_PORT[name]]
    assert finding.level is Level.FAULT and f"{name} (127.0.0.1:{port}) no answer" in finding.text
    assert faults(found) == {CHECK_OF_PORT[name]}


def test_a_controller_that_is_gone_elsewhere_or_unknown_is_told_apart(
    write, tmp_path, patient, monkeypatch
):
    monkeypatch.setattr(engine_report, "TIMEOUT", 1.0)
    shut = {name: free_port() for name in PORTS}
    assert faults(host.examine_controller(write(**shut))) == {"connection-file"}
    other = write(**shut, location="another-host")
    assert faults(host.examine_controller(other)) == {"controller-loopback"}
    unknown = write(interface="tcp://*", location="no-such-host.invalid")
    assert faults(host.examine_controller(unknown)) == {"controller-address"}
    with silent_port() as port:
        dark = write(**dict.fromkeys(PORTS, port))
        assert faults(host.examine_controller(dark)) == {"controller-address"}
    assert faults(host.examine_controller(tmp_path / "none.json")) == {"connection-file"}
    for text in ("", "[]", "{}"):
        (tmp_path / "bad.json").write_text(text)
        assert faults(host.examine_controller(tmp_path / "bad.json")) == {"connection-file"}


def test_a_port_that_does_not_answer_who_asks_is_one_of_another_key(write):
    """Sockets that say nothing stand for a controller that drops what is signed otherwise."""
    assert faults(host.examine_controller(write())) == {"connection-key"}


@pytest.fixture
def port(own_redis):
    """The port of a Redis of the test's own, which has a password; and that."""
    port = free_port()
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("port", port)
        client.config_set("bind", "127.0.0.1")
        password = client.connection_pool.connection_kwargs["password"]
    return port, password


def test_what_is_wrong_with_the_way_to_redis_is_found(port, patient, tmp_path):
    port, password = port
    at = f":{password}@127.0.0.1:{port}"
    for url, check in (
        (f"redis://127.0.0.1:{port}", "redis-password"),
        (f"redis://:wrong@127.0.0.1:{port}", "redis-password"),
        (f"rediss://{at}?ssl_ca_certs={tmp_path}/none.crt", "redis-tls"),
        (f"redis://127.0.0.1:{free_port()}", "redis-reachable"),
        (f"unix://{tmp_path}/none.sock", "engine-paths"),
    ):
        found = in_time(4, partial(host.examine_own_redis, url))
        assert faults(found) == {check}, url
    assert faults(host.examine_own_redis(f"redis://{at}")) == set()


def test_a_port_without_tls_for_an_url_with_it_is_found(port, patient, monkeypatch):
    # Redis waits for more of what it takes for a line.
    monkeypatch.setattr(engine_report, "TIMEOUT", 1.0)
    port, password = port
    found = in_time(4, lambda: host.examine_own_redis(f"rediss://:{password}@127.0.0.1:{port}"))
    assert faults(found) == {"redis-tls"}


def test_a_redis_that_is_silent_is_found_soon(silent):
    url = "redis://{}:{}".format(*silent.getsockname())
    found = in_time(4, lambda: host.examine_own_redis(url))
    assert faults(found) == {"redis-reachable"}


def test_a_port_with_tls_for_an_url_without_is_found(patient, tmp_path):
    import ssl
    import threading

    key, crt = tmp_path / "key.pem", tmp_path / "crt.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run(
        [*made, "-keyout", key, "-out", crt, "-days", "1"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            for _ in range(2):
                raw, _ = server.accept()
                try:
                    context.wrap_socket(raw, server_side=True).close()
                except OSError:
                    raw.close()

        thread = threading.Thread(target=serve)
        thread.start()
        found = host.examine_own_redis(f"redis://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert faults(found) == {"redis-tls"}
    assert "the url says redis:// and the port speaks TLS" in found[0].text


def test_a_redis_that_forgets_is_found(own_redis, patient):
    assert faults(host.examine_own_redis(own_redis.url)) == set()
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert faults(host.examine_own_redis(own_redis.url)) == {"redis-eviction"}
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "no")
        client.config_set("save", "")
        assert faults(host.examine_own_redis(own_redis.url)) == {"redis-persistence"}


def test_a_socket_that_engines_of_other_hosts_are_to_use_is_found(moi, own_redis, patient):
    moi["CONTEXTS"] = {"default": {}, "lab": {"LAUNCHER": "slurm"}}
    assert faults(cluster_checks.examine_site_redis()) == {"engine-paths"}
    del moi["CONTEXTS"]["lab"]
    assert faults(cluster_checks.examine_site_redis()) == set()


def test_a_layer_that_cannot_be_made_is_found(moi, settings, patient):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "lab.layers.Layer"}}
    moi["CONTEXTS"] = {"default": {"BACKEND": "immediate"}}
    assert "channel-layer" in faults(cluster_checks.examine_site(["default"]))


def test_all_of_it_takes_less_than_five_seconds_where_nothing_answers(moi, silent, write):
    moi["REDIS_URL"] = "redis://{}:{}".format(*silent.getsockname())
    with silent_port() as port:
        file = write(**{name: port for name in PORTS if name != "registration"})
        moi["CONTEXTS"] = {
            "default": {"connection_file": str(file)},
            "lab": {"connection_file": str(file)},
            "gone": {"LAUNCHER": "local"},
        }
        found = in_time(5, lambda: cluster_checks.examine_site(moi["CONTEXTS"]))
    shut = {"port-task", "port-mux", "port-heartbeat", "port-control"}
    assert faults(found) == {*shut, "redis-reachable", "connection-file"}


def test_a_site_without_a_redis_says_how_to_have_one(moi):
    del moi["REDIS_URL"]
    [finding] = cluster_checks.examine_site_redis()
    assert finding.check == "redis-reachable" and "manage.py moi up" in finding.text


def test_settings_that_cannot_be_imported_are_found(monkeypatch, patient):
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "no.such")
    [finding] = [each for each in host.examine_own_code() if each.level is Level.FAULT]
    assert finding.check == "engine-settings" and "No module named 'no'" in finding.text


def test_a_host_of_engines_needs_no_django(write, tmp_path, own_redis):
    """A Django that cannot be imported stands for none."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without/django.py").write_text("raise ImportError('no Django')")
    env = environment(PYTHONPATH=f"{tmp_path}/without:{ROOT}")
    del env["DJANGO_SETTINGS_MODULE"]
    command = [sys.executable, "-m", "moi_django.doctor", str(write()), "--redis", own_redis.url]
    ran = subprocess.run([*command, "--json"], env=env, capture_output=True, text=True)
    assert ran.returncode == 1, ran.stderr
    found = json.loads(ran.stdout)["findings"]
    checks = {each["check"]: each["level"] for each in found}
    assert (checks["redis-reachable"], checks["connection-key"]) == ("ok", "FAULT")
    assert set(checks) <= set(CHECKS)


def test_a_context_without_a_controller_ends_the_command_with_one(
    moi, tmp_path, own_redis, capsys, patient
):
    moi["CONTEXTS"] = {"default": {"connection_file": str(tmp_path / "none.json")}}
    with pytest.raises(SystemExit) as ended:
        call_command("moi", "doctor", "--context=default")
    assert ended.value.code == 1
    assert "FAULT  connection-file      default: there is no " in capsys.readouterr().out


def test_what_is_the_same_of_many_engines_is_one_line():
    found = [fault("clock", "slow", "set it", f"engine {n}") for n in range(5)]
    found += [ok("engine-imports", "fine", f"engine {n}") for n in range(3)]
    lines = [each.line for each in shortened(found)]
    assert lines == [
        "FAULT  clock                engine 0; engine 1; engine 2; and 2 more: slow: set it",
        "ok     engine-imports       engine 0: fine; and 2 more",
    ]
    escaped = host.to_text([Finding("clock", Level.NOTE, "a\x1b[2Jb", "")], 1.0)
    assert "\x1b" not in escaped and os.linesep in escaped


@pytest.mark.parametrize(
    "entry, wanted, said",
    [
        ({"LAUNCHER": "slum"}, None, "'slum' is none"),
        ({"LAUNCHER": "local"}, "many", "is not known: .*/lab/wanted: .*moi cluster scale N"),
        ({"LAUNCHER": "local"}, "2", "its controller is gone, or not on this host"),
        ({"LAUNCHER": "local"}, None, "is stopped: `moi cluster start --context=lab`"),
    ],
)
def test_why_a_context_cannot_be_looked_at_is_no_matter_of_time(
    moi, tmp_path, store, patient, entry, wanted, said
):
    moi["STATE_DIR"] = tmp_path
    moi["CONTEXTS"] = {"default": {}, "lab": entry}
    directory = tmp_path / "clusters/lab"
    directory.mkdir(parents=True)
    if wanted:
        (directory / "wanted").write_text(wanted)
    found = next(each for each in cluster_checks.examine_context("lab") if each.check == "launcher")
    assert re.search(said, found.text)


def test_a_cluster_whose_entry_was_taken_out_is_named_while_it_runs(moi, tmp_path, store, patient):
    moi["STATE_DIR"] = tmp_path
    moi["CONTEXTS"] = {"default": {}}
    name = f"--profile-dir={tmp_path}/clusters/old/controller"
    script = "read line; :"
    with subprocess.Popen(
        ["sh", "-c", script, "sh", name], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        (tmp_path / "clusters/old").mkdir(parents=True)
        [found] = [each for each in cluster_checks.examine_site([]) if each.where == "old"]
        process.communicate(b"\n")
    assert f"controller {process.pid} runs" in found.text
    assert "`moi cluster stop --context=old`" in found.advice
    assert not any(each.where == "old" for each in cluster_checks.examine_site([]))
