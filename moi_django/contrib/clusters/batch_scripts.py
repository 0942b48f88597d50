"""Write the script of a batch job, which is an array with an engine for each index.

ipyparallel has templates of its own; these begin an engine as soon as there is room for one, start
none again that the batch system has ended, and leave out nothing that the settings say.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moi_django.contrib.clusters.context_settings import ContextSettings
from moi_django.contrib.clusters.slots import SLOT, WALL_TIME

# Seconds before the end of a time that the settings do not name, at which Slurm says so.
UNKNOWN_LIMIT_WARNING = 120


@dataclass(frozen=True, slots=True)
class ScriptRequest:
    """What a script is written for."""

    context: ContextSettings
    # What its batch jobs are called.
    job_name: str
    count: int
    logs: Path
    # The engine with its arguments, and variables that are no secret.
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]


def body(request: ScriptRequest, slot: str) -> str:
    """Return what is the same for all: surroundings, then the engine in place of the shell.

    `slot` is the shell's expression for the id of the slot.
    """
    context = request.context
    lines = [f"cd {shlex.quote(context.working_directory)} || exit 1", *context.prelude]
    lines += [export(name, value) for name, value in request.env]
    lines.append(f"export {SLOT}={slot}")
    if context.seconds:
        lines.append(f"export {WALL_TIME}={context.seconds}")
    lines.append(f"exec {shlex.join(request.command)}")
    return "\n".join(lines) + "\n"


def export(name: str, value: str) -> str:
    """Return a shell line that sets a variable; a path goes before the one there is."""
    more = f"${{{name}:+:${name}}}" if name.endswith("PATH") else ""
    return f"export {name}={shlex.quote(value)}{more}"


def _script(mark: str, directives: Sequence[str | int | None], body: str) -> str:
    said = [f"{mark} {each}\n" for each in directives if each]
    return f"#!/bin/bash -l\n{''.join(said)}{body}"


def slurm(request: ScriptRequest) -> str:
    """Return a script for sbatch."""
    context, seconds = request.context, request.context.seconds
    directives = [
        f"--job-name={request.job_name}",
        f"--array=1-{request.count}",
        "--ntasks=1",
        f"--output={shlex.quote(str(request.logs))}/engine-%A_%a.log",
        "--export=ALL",
        "--no-requeue",
        context.queue and f"--partition={context.queue}",
        seconds and f"--time={clock(seconds)}",
        # To the shell, which is the engine then: it does not know the time of its partition. It is
        # sent up to a minute early, so an engine that knows its time does without.
        None if seconds else f"--signal=B:TERM@{UNKNOWN_LIMIT_WARNING}",
        context.memory and f"--mem={context.memory}M",
        context.gpus and f"--gres=gpu:{context.gpus}",
        *context.options,
    ]
    slot = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
    return _script("#SBATCH", directives, body(request, slot))


def sge(request: ScriptRequest) -> str:
    """Return a script for qsub of Grid Engine."""
    context = request.context
    directives = [
        f"-N {request.job_name}",
        f"-t 1-{request.count}",
        "-S /bin/bash",
        "-j y",
        f"-o {request.logs}/engine-$JOB_ID.$TASK_ID.log",
        "-r n",
        context.queue and f"-q {context.queue}",
        context.seconds and f"-l h_rt={clock(context.seconds)}",
        context.memory and f"-l h_vmem={context.memory}M",
        context.gpus and f"-l gpu={context.gpus}",
        *context.options,
    ]
    return _script("#$", directives, body(request, "${JOB_ID}.${SGE_TASK_ID}"))


def pbs(request: ScriptRequest) -> str:
    """Return a script for qsub of OpenPBS; an array of one is refused there."""
    context, is_array = request.context, request.count > 1
    select = "select=1:ncpus=1"
    select += f":mem={context.memory}mb" if context.memory else ""
    select += f":ngpus={context.gpus}" if context.gpus else ""
    directives = [
        f"-N {request.job_name}",
        f"-J 1-{request.count}" if is_array else None,
        f"-l {select}",
        "-j oe",
        f"-o {request.logs}/",
        "-r y" if is_array else "-r n",  # arrays have to be such that may run again
        context.queue and f"-q {context.queue}",
        context.seconds and f"-l walltime={clock(context.seconds)}",
        *context.options,
    ]
    return _script("#PBS", directives, body(request, '"${PBS_JOBID%%.*}"'))


def lsf(request: ScriptRequest) -> str:
    """Return a script for bsub."""
    context = request.context
    directives = [
        f'-J "{request.job_name}[1-{request.count}]"',
        "-n 1",
        f"-o {request.logs}/engine-%J.%I.log",
        "-rn",
        context.queue and f"-q {context.queue}",
        context.seconds and f"-W {-(-context.seconds // 60)}",
        context.memory and f"-M {context.memory}M",
        context.gpus and f'-gpu "num={context.gpus}"',
        *context.options,
    ]
    return _script("#BSUB", directives, body(request, '"${LSB_JOBID}.${LSB_JOBINDEX}"'))


def htcondor(request: ScriptRequest) -> str:
    """Return a description for condor_submit, whose program is the `body` in a file beside it."""
    context = request.context
    said = {
        "executable": request.logs / f"{request.job_name}.sh",
        "arguments": "$(Cluster).$(Process)",
        "batch_name": request.job_name,
        "output": request.logs / "engine-$(Cluster).$(Process).log",
        "error": request.logs / "engine-$(Cluster).$(Process).log",
        "log": request.logs / "condor.log",
        "request_cpus": 1,
        "request_memory": context.memory and f"{context.memory}MB",
        "request_gpus": context.gpus,
        "accounting_group": context.queue,
        # One that was evicted is not started again.
        "on_exit_remove": "True",
        "periodic_remove": "NumJobStarts > 1 && JobStatus == 1"
        + (
            f" || JobStatus == 2 && time() - EnteredCurrentStatus > {context.seconds}"
            if context.seconds
            else ""
        ),
    }
    lines = [f"{name} = {value}" for name, value in said.items() if value]
    return "\n".join([*lines, *context.options, f"queue {request.count}"]) + "\n"


SCRIPTS = {"slurm": slurm, "sge": sge, "pbs": pbs, "lsf": lsf, "htcondor": htcondor}


def clock(seconds: int) -> str:
    """Return a time as HOURS:MINUTES:SECONDS."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
