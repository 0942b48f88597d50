"""Contexts with a LAUNCHER: what may stand in one, and what the checks say of what may not."""

import math
from datetime import timedelta

import pytest

from moi_django.cluster.connections import connection_file
from moi_django.contrib.checks.settings import check_contexts
from moi_django.contrib.clusters.checks import check_launchers
from moi_django.contrib.clusters.context_settings import (
    local_contexts,
    managed_contexts,
    read_context,
)
from moi_django.exceptions import UsageError


@pytest.fixture
def contexts(moi):
    """Set the contexts beside the default."""

    def set_to(**given):
        moi["CONTEXTS"] = {"default": {}, **given}

    return set_to


def test_a_context_is_read(contexts):
    contexts(
        lab={
            "LAUNCHER": "slurm",
            "ENGINES": (0, 16),
            "TIME": "1-00:00:30",
            "MEMORY": "1.5G",
            "PRELUDE": "module load cuda\n\nulimit -c 0\n",
            "OPTIONS": ["--account=chem"],
        }
    )
    lab = read_context("lab")
    assert (lab.initial, lab.least, lab.most) == (0, 0, 16)
    assert (lab.seconds, lab.memory, lab.gpus) == (86430, 1536, 0)
    assert lab.prelude == ("module load cuda", "ulimit -c 0")
    assert lab.options == ("--account=chem",)
    assert lab.is_batch and not lab.is_local
    assert managed_contexts() == ["lab"] and local_contexts() == []


def test_a_number_of_engines_is_what_it_begins_with(contexts):
    contexts(lab={"LAUNCHER": "local", "ENGINES": 4})
    lab = read_context("lab")
    assert (lab.initial, lab.least, lab.most) == (4, 0, math.inf)
    lab.check_count(40)
    assert local_contexts() == ["lab"]


def test_a_range_bounds_the_number(contexts):
    contexts(lab={"LAUNCHER": "local", "ENGINES": (2, 4)})
    with pytest.raises(UsageError, match="has 2 to 4 engines, not 5"):
        read_context("lab").check_count(5)


def test_hosts_bound_the_number_and_make_none_elastic(contexts):
    contexts(lab={"LAUNCHER": "ssh", "HOSTS": {"a": 1}})
    lab = read_context("lab")
    assert (lab.initial, lab.least, lab.most, lab.is_elastic) == (1, 0, 1, False)
    with pytest.raises(UsageError, match="has 0 to 1 engines, not 2"):
        lab.check_count(2)


def test_a_range_is_elastic_where_it_leaves_a_choice(contexts):
    contexts(lab={"LAUNCHER": "local", "ENGINES": (0, 4), "IDLE_TIMEOUT": 30})
    lab = read_context("lab")
    assert (lab.is_elastic, lab.idle_timeout) == (True, 30.0)
    assert [lab.bounded(count) for count in (-1, 3, 9)] == [0, 3, 4]
    for engines in (4, (4, 4)):
        contexts(lab={"LAUNCHER": "local", "ENGINES": engines})
        assert not read_context("lab").is_elastic


def test_the_connection_file_is_found_without_a_further_setting(contexts, moi, tmp_path):
    moi["STATE_DIR"] = tmp_path
    contexts(lab={"LAUNCHER": "slurm"})
    security = tmp_path / "clusters/lab/controller/security"
    assert connection_file("lab") == security / "ipcontroller-client.json"


GOOD = [
    {"LAUNCHER": "local"},
    {"LAUNCHER": "ssh", "HOSTS": ["a", "user@b"], "OPTIONS": "-F config"},
    {"LAUNCHER": "ssh", "HOSTS": {"a": 4}, "PYTHON": "/opt/python", "ADDRESS": "10.0.0.1"},
    {"LAUNCHER": "slurm", "TIME": timedelta(hours=8), "GPUS": 0, "QUEUE": "gpu"},
    {"LAUNCHER": "mpi", "ENGINES": 4, "DIRECTORY": "/srv/lab"},
    {"LAUNCHER": "slurm", "ENGINES": (0, 4), "IDLE_TIMEOUT": 600, "PORTS": "20001-20015"},
]
BAD = [
    ("slum", {}, "LAUNCHER", "'slum' is none. There are: local, ssh"),
    ("slurm", {"PARTITION": "gpu"}, "PARTITION", "No key of a context with a LAUNCHER"),
    ("slurm", {"HOSTS": ["a"]}, "HOSTS", "Means nothing to 'slurm', only to ssh."),
    ("local", {"QUEUE": "gpu"}, "QUEUE", "Means nothing to 'local', only to slurm"),
    ("slurm", {"ENGINES": -1}, "ENGINES", "-1 is not a number of engines, or (min, max)."),
    ("slurm", {"ENGINES": True}, "ENGINES", "True is not a number of engines"),
    ("slurm", {"ENGINES": (4, 2)}, "ENGINES", "(4, 2) is not a number of engines"),
    ("slurm", {"TIME": "8 hours"}, "TIME", "'8 hours' is not a time of a minute or more"),
    ("slurm", {"TIME": "00:30"}, "TIME", "'00:30' is not a time of a minute or more"),
    ("slurm", {"MEMORY": 16}, "MEMORY", "16 is not an amount such as"),
    ("slurm", {"GPUS": "one"}, "GPUS", "'one' is not a number of GPUs"),
    ("slurm", {"QUEUE": "a\n#SBATCH --uid=0"}, "QUEUE", "is not the name of a queue"),
    ("slurm", {"PRELUDE": [1]}, "PRELUDE", "[1] is not shell lines"),
    ("ssh", {}, "HOSTS", "Ssh needs some"),
    ("ssh", {"HOSTS": ["-oProxyCommand=x"]}, "HOSTS", "is not a list of hosts"),
    ("ssh", {"HOSTS": {"a": 0}}, "HOSTS", "Lets no host have an engine."),
    ("ssh", {"HOSTS": {"a": 2, "b": 3}, "ENGINES": 6}, "ENGINES", "may have, which is 5."),
    ("ssh", {"HOSTS": {"a": 2}, "ENGINES": (0, 3)}, "ENGINES", "may have, which is 2."),
    ("ssh", {"HOSTS": ["a"], "OPTIONS": "-o 'x"}, "OPTIONS", "a quote has no end"),
    ("ssh", {"HOSTS": ["a"], "OPTIONS": [3]}, "OPTIONS", "[3] is not options"),
    ("slurm", {"HEARTBEAT_TIMEOUT": math.inf}, "HEARTBEAT_TIMEOUT", "Inf is not a number of sec"),
    ("mpi", {"ENGINES": (1, 4)}, "ENGINES", "An MPI world keeps its size: give one number."),
    ("slurm", {"ENGINES": 4, "IDLE_TIMEOUT": 60}, "IDLE_TIMEOUT", "Means nothing unless ENGINES"),
    ("slurm", {"ENGINES": (1, 4), "IDLE_TIMEOUT": 1}, "IDLE_TIMEOUT", "1 is not a number of sec"),
    ("slurm", {"PORTS": "20001-20005"}, "PORTS", 'not ports such as "20001-20020", 15 or more'),
    ("slurm", {"PORTS": "65530-65560"}, "PORTS", "is not ports"),
    ("local", {"PORTS": "20001-20020"}, "PORTS", "Means nothing to 'local'"),
    ("slurm", {"PYTHON": 3}, "PYTHON", "3 is not the path of a Python"),
]


@pytest.mark.parametrize("given", GOOD)
def test_checks_say_nothing_of_what_can_be_started(contexts, given):
    contexts(lab=given)
    assert check_launchers() == check_contexts() == []
    assert read_context("lab").launcher == given["LAUNCHER"]


@pytest.mark.parametrize("launcher, given, key, hint", BAD)
def test_checks_name_the_key_and_what_it_may_be(contexts, launcher, given, key, hint):
    contexts(lab={"LAUNCHER": launcher, **given})
    [found] = check_launchers()
    assert found.id == "moi.E070"
    assert found.msg == f"MOI[\"CONTEXTS\"]['lab']: {key} makes no sense."
    assert hint in found.hint
    with pytest.raises(UsageError, match=key):
        read_context("lab")


def test_a_name_has_to_be_one_of_a_file_and_of_a_batch_job(contexts):
    contexts(**{"../lab": {"LAUNCHER": "local"}})
    [found] = check_launchers()
    assert found.hint.startswith("The name of such a context has letters")


def test_a_context_without_a_launcher_is_none_of_ours(contexts):
    contexts(lab={"LAUNCHER": "local"})
    with pytest.raises(
        UsageError, match=r"Context default has no LAUNCHER\. Those that have one: lab"
    ):
        read_context("default")
