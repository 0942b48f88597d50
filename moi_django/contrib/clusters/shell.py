"""Call programs of batch systems and of other hosts, and say what they refuse in their words."""

import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from moi_django.contrib.clusters.batch_scripts import export
from moi_django.contrib.services.python_path import python_path
from moi_django.engine.calls import PRIVATE_VARIABLES
from moi_django.exceptions import ServiceError

AGENT = "moi_django.contrib.clusters.host_processes"

# Seconds that such a program may take.
TIMEOUT = 60.0


def call(command: Sequence[str], given: str = "", env: Mapping[str, str] | None = None) -> str:
    """Return what a program writes; raise ServiceError with what it complains of."""
    try:
        ran = subprocess.run(
            command, input=given, env=env, capture_output=True, text=True, timeout=TIMEOUT
        )
    except FileNotFoundError as error:
        raise ServiceError(f"{command[0]} is not installed here.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ServiceError(f"{command[0]}: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{command[0]} has not answered for {TIMEOUT:.0f} s.") from error
    if ran.returncode:
        said = ran.stderr.strip() or ran.stdout.strip() or f"exit code {ran.returncode}"
        raise ServiceError(f"{command[0]}: {said}")
    return ran.stdout


def engine_environment() -> dict[str, str]:
    """Return what a program of ours has to know wherever it runs, which is no secret."""
    found = {"PYTHONPATH": python_path()}
    if module := os.environ.get("DJANGO_SETTINGS_MODULE"):
        found["DJANGO_SETTINGS_MODULE"] = module
    return found


def public_environment() -> dict[str, str]:
    """Return the environment of this process, but for what engines are not to know."""
    return {name: text for name, text in os.environ.items() if name not in PRIVATE_VARIABLES}


def ask_host(python: str, ssh: Sequence[str], prelude: Sequence[str], **asked: Any) -> Any:
    """Have `host_processes` do something on this host, or on one that `ssh` leads to.

    Raises ServiceError with what it says.
    """
    lines = [*prelude, *(export(*each) for each in engine_environment().items())]
    lines.append(f"exec {shlex.join([python, '-m', AGENT])}")
    shell = ["/bin/bash", "-lc", "\n".join(lines)]
    command = [*ssh, shlex.join(shell)] if ssh else shell
    said = call(command, json.dumps(asked), public_environment())
    try:
        answer = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise ServiceError(
            f"{python} has said nothing of ours, but {said.strip()[-200:]!r}. Does PRELUDE end the "
            "shell, or is PYTHON another program?"
        ) from error
    if "error" in answer:
        raise ServiceError(answer["error"])
    return answer["answer"]
