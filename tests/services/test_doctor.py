"""The doctor finds faults of real engines and controllers by name."""

import json
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import ipyparallel
import psutil
import pytest

from moi_django import ctx_default, submit
from moi_django.contrib.doctor import cluster_checks, engine_checks, host
from moi_django.contrib.doctor.finding import Level
from moi_django.site_store import engine_store_config
from tests.helpers.clocks import ServerClock, can_jump
from tests.helpers.engines import engines_beside
from tests.helpers.processes import environment, free_port, wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 60


@pytest.fixture
def client_file(own_cluster, moi):
    """The file of a controller without engines."""
    own_cluster(0)
    return moi["CONTEXTS"]["default"]["connection_file"]


def faults(number=None):
    """Return the faults that are found, of one engine or of all."""
    found = cluster_checks.examine_context("default")
    at = f"engine {number}"
    return {
        each.check
        for each in found
        if each.level is Level.FAULT and (number is None or at in each.where.split(" on ")[0])
    }


def test_what_is_wrong_with_an_engine_is_found(client_file, moi, tmp_path):
    """All at once, as each takes a second to start."""
    moi["ENGINE_IMPORTS"] = ["lab_of_tests.models"]
    (tmp_path / "code").mkdir()
    (tmp_path / "code/lab_of_tests.py").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/moi_django.py").write_text("raise ImportError('none here')")
    path = f"{environment()['PYTHONPATH']}:{tmp_path}/code"
    envs = {
        "engine-imports": {},
        "engine-settings": {"PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "tests.nosuch"},
        "engine-packages": {"PYTHONPATH": f"{tmp_path}/broken:{path}"},
        "": {"PYTHONPATH": path},
    }
    if can_jump():
        clock = ServerClock(tmp_path)
        clock.set(3600)
        envs["clock"] = {"PYTHONPATH": path, **clock.variables}
    with engines_beside(client_file, *envs.values()) as engines:
        expected = [{check} if check else set() for check in envs]
        names = [f"default, engine {each.number} on {socket.gethostname()}" for each in engines]

        def found_of_each():
            begun = time.monotonic()
            found = cluster_checks.examine_context("default")
            took = time.monotonic() - begun
            of = [[each for each in found if each.where == name] for name in names]
            faulty = [{each.check for each in own if each.level is Level.FAULT} for own in of]
            return took < 5 and faulty

        # A busy machine may take longer than the doctor waits for what has just been started.
        wait_for(lambda: found_of_each() == expected, "all faults")
        fit = engines[list(envs).index("")]
        moi["ENGINE_REDIS_URL"] = f"redis://127.0.0.1:{free_port()}"
        wait_for(lambda: faults(fit.number) == {"redis-reachable"})
        moi["ENGINE_REDIS_URL"] = f"rediss://127.0.0.1?ssl_ca_certs={tmp_path}/none.crt"
        wait_for(lambda: faults(fit.number) == {"redis-tls"})


def test_a_controller_that_is_not_that_of_the_file_or_has_too_few_files_is_found(
    client_file, moi, tmp_path
):
    file = Path(client_file)
    wait_for(lambda: faults() == set())
    engine_file = file.with_name("ipcontroller-engine.json")
    wait_for(lambda: {each.level for each in host.examine_controller(engine_file)} == {Level.OK})
    said = json.loads(file.read_text())
    for process in cluster_checks._controller_processes(said["registration"]):
        process.rlimit(psutil.RLIMIT_NOFILE, (100, 100))
    wait_for(lambda: faults() == {"open-files"})
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**said, "key": "that of an earlier one"}))
    moi["CONTEXTS"]["default"]["connection_file"] = str(other)
    wait_for(lambda: faults() == {"connection-key"})
    expected = ["port-registration", "connection-key"]
    wait_for(lambda: [each.check for each in host.examine_controller(other)] == expected)


def test_an_engine_that_its_controller_does_not_know_is_found(client_file, moi, store):
    moi["LINGER"] = 0.0
    with engines_beside(client_file, {}) as [engine]:
        job = submit(ctx_default, "ada", "a job", None, work.triple, 1)
        assert job.value(SOON) == 3
        wait_for(lambda: faults() == set(), "an engine at rest")
        with ipyparallel.Client(client_file) as client:
            content = {"id": engine.number}
            client._send(client._query_stream, "unregistration_request", content=content)
            wait_for(lambda: engine.number not in client.ids)
        wait_for(lambda: faults() == {"cut-off"}, "the fault")


def test_an_engine_whose_task_connection_is_dead_is_found(client_file, moi, tmp_path):
    said = json.loads(Path(client_file).with_name("ipcontroller-engine.json").read_text())
    with link_to(said["task"]) as link:
        file = tmp_path / "engine.json"
        file.write_text(json.dumps({**said, "task": link.port}))
        with engines_beside(client_file, {}, file=file) as [engine]:
            assert submit(ctx_default, "ada", "a job", None, work.triple, 1).value(SOON) == 3
            wait_for(lambda: not faults(engine.number), "an engine at rest")
            link.is_cut.set()
            submit(ctx_default, "ada", "a job", None, work.triple, 1)
            wait_for(lambda: faults(engine.number) == {"task-connection"}, "the fault")


class Link:
    """A way to a port, on which nothing comes through once it is cut, and nobody is told."""

    def __init__(self, server):
        self.port, self.is_cut = server.getsockname()[1], threading.Event()


@contextmanager
def link_to(port):
    with socket.create_server(("127.0.0.1", 0)) as server:
        link, ends = Link(server), []

        def carry(source, target):
            while data := source.recv(65536):
                if not link.is_cut.is_set():
                    target.sendall(data)

        def accept():
            client, _ = server.accept()
            target = socket.create_connection(("127.0.0.1", port))
            ends.extend([client, target])
            back = threading.Thread(target=carry, args=[target, client])
            back.start()
            carry(client, target)
            target.shutdown(socket.SHUT_RDWR)
            back.join()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield link
        finally:
            thread.join()
            for end in ends:
                end.close()


def test_an_engine_with_another_python_is_found(moi):
    report = {
        "host": "n7",
        "python": "3.9.2",
        "settings": None,
        "has_settings": True,
        "missing": [],
        "missing_paths": [],
        "ports": {},
        "redis": None,
        "storage": "",
        "versions": dict(engine_checks.describe_proof().versions),
    }
    answers = engine_checks.Answers({0: report}, {0: (0.0, 0.0)}, [], [], [])
    found = engine_checks.examine_engines(answers, engine_store_config(), "default")
    assert [each.check for each in found if each.level is Level.FAULT] == ["engine-python"]
