"""What the tests share: a project with contexts for each module, and each lab when asked for."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moi_django.contrib.services.embedded_redis import EmbeddedRedis
from tests.clusters import labs
from tests.clusters.project import Project

# They need root and install programs: only who asks for them has them.
collect_ignore_glob = [] if os.environ.get("MOI_CLUSTER_LABS") else ["test_*.py"]

CONTEXTS: dict[str, Any] = {
    "default": {"LAUNCHER": "local", "ENGINES": 1},
    "lab": {"LAUNCHER": "slurm", "ENGINES": 2, "QUEUE": "lab", "TIME": "00:30:00"},
    "large": {
        "LAUNCHER": "slurm",
        "ENGINES": (0, 4),
        "QUEUE": "large",
        "MEMORY": "20G",
        "PRELUDE": "export WHERE=large",
    },
    "elastic": {
        "LAUNCHER": "slurm",
        "ENGINES": (0, 4),
        "QUEUE": "large",
        "MEMORY": "20G",
        "IDLE_TIMEOUT": 5,
    },
    # Not on the nodes of which a test sets one down meanwhile.
    "short": {"LAUNCHER": "slurm", "ENGINES": 1, "TIME": "01:00", "QUEUE": "large"},
    "nowhere": {"LAUNCHER": "slurm", "ENGINES": 2, "QUEUE": "nowhere"},
    "grid": {"LAUNCHER": "sge", "ENGINES": 2, "QUEUE": "lab", "TIME": "00:30:00"},
    "no-grid": {"LAUNCHER": "sge", "ENGINES": 2, "QUEUE": "nowhere"},
    "world": {
        "LAUNCHER": "mpi",
        "ENGINES": 3,
        "OPTIONS": ["--oversubscribe", "--allow-run-as-root"],
    },
    "refused": {"LAUNCHER": "mpi", "ENGINES": 3},
}


@pytest.fixture(scope="session")
def directory(tmp_path_factory) -> Path:
    """A directory for all labs; names of sockets are short."""
    return tmp_path_factory.mktemp("labs")


@pytest.fixture(scope="session")
def slurm(directory) -> Iterator[dict[str, str]]:
    (directory / "slurm").mkdir()
    with labs.slurm(directory / "slurm") as env:
        os.environ.update(env)
        yield env


@pytest.fixture(scope="session")
def grid_engine(directory) -> Iterator[dict[str, str]]:
    (directory / "sge").mkdir()
    with labs.grid_engine(directory / "sge") as env:
        os.environ.update(env)
        yield env


@pytest.fixture(scope="session")
def ssh_config(directory) -> Iterator[Path]:
    (directory / "ssh").mkdir()
    with labs.ssh(directory / "ssh") as config:
        yield config


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with EmbeddedRedis() as server:
        yield server.url


def make_project(
    directory: Path, redis_url: str, contexts: dict[str, Any], **given: Any
) -> Iterator[Project]:
    """Make a project with a reconciler; stop its clusters in the end."""
    directory.mkdir()
    project = Project(directory, redis_url, contexts, **given)
    reconciler = project.start("manage.py", "moi", "reconcile")
    yield project
    reconciler.send_signal(signal.SIGINT)
    reconciler.wait()
    project.close()
    for kept in directory.glob(".moi/clusters/*"):
        name = kept.name
        project.call("moi", "cluster", "stop", "--now", f"--context={name}")


@pytest.fixture(scope="module")
def project(directory, redis_url, request) -> Iterator[Project]:
    """A project with the contexts that the module names, in the lab that it names."""
    if lab := getattr(request.module, "LAB", None):
        request.getfixturevalue(lab)
    contexts = {name: CONTEXTS[name] for name in ("default", *request.module.USED)}
    path = directory / f"project-{time.monotonic_ns()}"
    yield from make_project(path, redis_url, contexts)
