"""The doctor finds faults by name that need hosts, a batch system or a disk of one's own."""

import json
import time

import pytest

from moi_django import ctx_default, submit
from moi_django.contrib.attachments.storage import attachments_of
from moi_django.contrib.doctor import cluster_checks
from moi_django.contrib.doctor.connection import CHECK_OF_PORT
from moi_django.contrib.doctor.finding import Level
from tests.clusters.conftest import CONTEXTS, make_project
from tests.clusters.hosts import ADDRESSES, PAIR, SITE, controller, doctor_says, network, shut
from tests.clusters.labs import wait_for
from tests.helpers.engines import engines_beside
from tests.helpers.file_delivery import receiving
from tests.helpers.processes import in_time
from tests.site import work


@pytest.fixture(scope="module")
def hosts():
    with network(PAIR):
        yield


def test_a_controller_at_the_loopback_interface_is_found(hosts, tmp_path):
    with controller(tmp_path / "c") as file:
        wait_for(lambda: doctor_says(file) == {"controller-loopback"})


@pytest.mark.parametrize("location", ["no-such-host.invalid", "10.78.0.99"])
def test_a_location_that_engines_cannot_use_is_found(hosts, tmp_path, location):
    with controller(tmp_path / "c", "--ip=*", f"--location={location}") as file:
        wait_for(lambda: doctor_says(file) == {"controller-address"})


def test_each_port_that_a_firewall_shuts_is_found(hosts, tmp_path):
    curve = "--IPController.enable_curve=True"
    with controller(tmp_path / "c", "--ip=*", f"--location={ADDRESSES[SITE]}", curve) as file:
        wait_for(lambda: doctor_says(file) == set())
        said = json.loads(file.read_text())
        for name, check in CHECK_OF_PORT.items():
            ports = said.get(name, [])
            for port in ports if isinstance(ports, list) else [ports]:
                with shut(SITE, port):
                    found = in_time(8, lambda: doctor_says(file))  # with the start of Python
                    assert found == {check}, name
        assert doctor_says(file, f"--redis=redis://{ADDRESSES[SITE]}:6379") == {"redis-reachable"}
    assert doctor_says(file) == {"connection-file"}


def bad_of(found):
    return {(each.check, each.level) for each in found if each.level is not Level.OK}


@pytest.mark.django_db(transaction=True)
def test_an_engine_with_disks_of_its_own_is_found_and_its_files_arrive(
    own_cluster, moi, settings, store, tmp_path
):
    """Over what is shared it has file systems in memory, as another host has other disks."""
    shared = tmp_path / "shared"
    shared.mkdir()
    settings.MEDIA_ROOT = str(shared / "media")
    settings.DATABASES["other"] = {
        **settings.DATABASES["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(shared / "other.sqlite3"),
    }
    (shared / "other.sqlite3").touch()
    own_cluster(0)
    client_file = moi["CONTEXTS"]["default"]["connection_file"]
    mount = f'mount -t tmpfs none {shared} && exec "$@"'
    apart = ("unshare", "-m", "sh", "-c", mount, "sh")
    env = {"MOI_TEST_MEDIA": settings.MEDIA_ROOT}
    try:
        with engines_beside(client_file, env, prefix=apart):
            expected = {
                ("engine-paths", Level.FAULT),
                ("file-storage", Level.NOTE),
                ("file-storage", Level.FAULT),  # nobody takes them
            }
            wait_for(lambda: bad_of(cluster_checks.examine_context("default")) == expected)
            with receiving():
                job = submit(ctx_default, "ada", "a job", None, work.attach_files, __file__)
                assert job.value(60) == "attached"
    finally:
        del settings.DATABASES["other"]
    kept = attachments_of(store, job.id)["notes.txt"]
    assert (shared / "media" / kept.path).read_text().startswith('"""The doctor')


@pytest.fixture(scope="module")
def project(directory, redis_url, slurm):
    path = directory / f"project-{time.monotonic_ns()}"
    contexts = {name: CONTEXTS[name] for name in ("default", "large", "refused")}
    yield from make_project(path, redis_url, contexts)


def ask_doctor(project, context):
    """Return what is not well, once the launcher has answered in time."""

    def ask():
        begun = time.monotonic()
        project.manage("moi", "doctor", "--help")
        # Says how busy this machine is.
        start = time.monotonic() - begun
        ran = project.call("moi", "doctor", f"--context={context}", "--json")
        is_in_time = time.monotonic() - begun - start < 5 + 6 * start
        is_told = is_in_time and "does not say within" not in ran.stdout
        return is_told and json.loads(ran.stdout)["findings"]

    return [each for each in wait_for(ask) if each["level"] != "ok"]


def not_well(found):
    """Return the checks, but those of the Redis of the tests: a socket that keeps nothing."""
    of_redis = ("redis-persistence", "engine-paths")
    return [each["check"] for each in found if each["check"] not in of_redis]


def test_engines_that_wait_in_the_batch_system_are_found_and_why(project):
    project.cluster("start", "large", "4")
    wait_for(lambda: project.conditions("large") == ["idle"] * 3 + ["pending"])
    found = ask_doctor(project, "large")
    assert not_well(found) == ["pending"]
    assert "1 engine pending in the batch system: Resources" in str(found)
    project.cluster("scale", "large", "3")
    wait_for(lambda: project.conditions("large") == ["idle"] * 3)
    found = ask_doctor(project, "large")
    assert not_well(found) == []
    project.cluster("stop", "large", "--now")


def test_what_mpiexec_has_said_is_told(project):
    assert project.call("moi", "cluster", "start", "--context=refused").returncode == 1
    found = ask_doctor(project, "refused")
    assert "mpiexec has detected an attempt to run as root" in str(found)
    assert "launcher" in [each["check"] for each in found]
