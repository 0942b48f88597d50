"""Scripts of batch jobs, compared with ones that were read, and run where that is possible."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from moi_django.contrib.clusters.batch_scripts import SCRIPTS, ScriptRequest, body, clock
from moi_django.contrib.clusters.context_settings import BATCH_LAUNCHERS, read_context

SCRIPT_FILES = Path(__file__).parent / "batch_scripts"
OPTIONS = {
    "slurm": ["--account=chem", "--cpus-per-task=4"],
    "sge": ["-P chem", "-pe smp 4"],
    "pbs": ["-A chem"],
    "lsf": ["-P chem"],
    "htcondor": ["requirements = OpSysMajorVer == 12"],
}


def request(moi, launcher, count=16, **given):
    moi["CONTEXTS"] = {
        "gpu": {"LAUNCHER": launcher, "PYTHON": "/opt/lab/bin/python", "DIRECTORY": "/srv/my lab"}
        | given
    }
    return ScriptRequest(
        read_context("gpu"),
        "moi-gpu-a1b2c3",
        count,
        Path("/srv/lab/.moi/clusters/gpu/log"),
        ("/opt/lab/bin/python", "-m", "an.engine", "--file=/srv/lab/engine file.json"),
        (("PYTHONPATH", "/srv/my lab"), ("DJANGO_SETTINGS_MODULE", "lab.settings")),
    )


@pytest.mark.parametrize("launcher", BATCH_LAUNCHERS)
def test_a_script_says_all_that_the_settings_say(moi, launcher):
    written = SCRIPTS[launcher](
        request(
            moi,
            launcher,
            QUEUE="gpu",
            TIME="1-02:30:00",
            MEMORY="16G",
            GPUS=2,
            PRELUDE="module load cuda\nsource /opt/lab/bin/activate\n",
            OPTIONS=OPTIONS[launcher],
        )
    )
    assert written == (SCRIPT_FILES / f"{launcher}.txt").read_text()


@pytest.mark.parametrize("launcher", BATCH_LAUNCHERS)
def test_a_script_says_no_more_than_the_settings_say(moi, launcher):
    written = SCRIPTS[launcher](request(moi, launcher, count=1))
    assert written == (SCRIPT_FILES / f"{launcher}-plain.txt").read_text()


@pytest.mark.parametrize("launcher", [name for name in BATCH_LAUNCHERS if name != "htcondor"])
def test_no_script_has_the_key_of_a_cluster_nor_the_environment(moi, monkeypatch, launcher):
    monkeypatch.setenv("IPP_CONNECTION_INFO", "the-key")
    assert "the-key" not in SCRIPTS[launcher](request(moi, launcher))


def test_the_body_is_a_program_in_which_the_prelude_counts(moi, tmp_path):
    asked = request(moi, "slurm", PRELUDE=["export GREETING='good day'"], TIME="10:00")
    command = (
        "/bin/sh",
        "-c",
        'echo "$GREETING $PYTHONPATH $MOI_ENGINE_SLOT $MOI_ENGINE_WALL_TIME"',
    )
    asked = ScriptRequest(
        replace(asked.context, working_directory=str(tmp_path)), "", 1, tmp_path, command, asked.env
    )
    ran = subprocess.run(
        ["/bin/bash", "-c", body(asked, "${JOB}_${INDEX}")],
        env={"JOB": "12", "INDEX": "3", "PYTHONPATH": "/before"},
        capture_output=True,
        text=True,
    )
    assert (ran.stdout, ran.stderr) == ("good day /srv/my lab:/before 12_3 600\n", "")


def test_times_are_written_in_hours():
    assert [clock(seconds) for seconds in (61, 86400 + 3 * 3600)] == ["00:01:01", "27:00:00"]
