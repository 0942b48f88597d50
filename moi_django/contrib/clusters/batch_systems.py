"""Submit, list and end batch jobs with the programs of each batch system, and read what they say.

Slurm and Grid Engine are run in tests; the others follow their manuals, and were never tried.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from moi_django.contrib.clusters.batch_scripts import SCRIPTS, ScriptRequest, body
from moi_django.contrib.clusters.shell import call
from moi_django.contrib.clusters.slots import Slot, SlotState
from moi_django.exceptions import ServiceError

PENDING, RUNNING, ENDING = SlotState.PENDING, SlotState.RUNNING, SlotState.ENDING


class BatchSystem(ABC):
    """What is known of one batch system."""

    name: str
    # True where the environment of who submits reaches the engine, and is shown to nobody else.
    keeps_environment = False

    def submit(self, request: ScriptRequest, env: Mapping[str, str]) -> str:
        """Submit an array; return the id of the batch job."""
        return self.read_id(call(self.submit_command, SCRIPTS[self.name](request), env))

    submit_command: tuple[str, ...]

    @abstractmethod
    def read_id(self, said: str) -> str:
        """Return the id that was given to a batch job."""

    @abstractmethod
    def list_slots(self, job_name: str) -> list[Slot]:
        """Return the slots of the batch jobs of this name."""

    @abstractmethod
    def kill(self, slots: Iterable[str]) -> None:
        """End slots, by their ids."""

    def cancel(self, slots: Iterable[str]) -> None:
        """Drop slots that are pending."""
        self.kill(slots)


class Slurm(BatchSystem):
    """sbatch, squeue and scancel."""

    name = "slurm"
    keeps_environment = True
    submit_command = ("sbatch", "--parsable")
    # A node that is being started for it may take minutes.
    _STATES = {"PENDING": PENDING, "CONFIGURING": PENDING}
    _STATES |= {"COMPLETING": ENDING, "STAGE_OUT": ENDING}
    _FIELDS = "%i|%T|%N|%M|%L|%r"

    def read_id(self, said: str) -> str:
        """Return the id, without the name of a federated cluster."""
        return said.strip().splitlines()[-1].partition(";")[0]

    def list_slots(self, job_name: str) -> list[Slot]:
        """Ask squeue for each index; it speaks of what has ended no more."""
        command = ["squeue", "--array", f"--name={job_name}", "--me", "--sort=i"]
        return self.parse(call([*command, f"--format={self._FIELDS}"]))

    def parse(self, said: str) -> list[Slot]:
        """Return the slots of an answer, whose first line is its header.

        Raises ValueError without one: what says nothing does not say that there are no slots.
        """
        _, header, listed = f"\n{said}".partition("\nJOBID|")
        if not header:
            raise ValueError(f"{said[:80]!r} is no list of squeue")
        rows = [line.split("|", 5) for line in listed.splitlines()[1:] if line.count("|") >= 5]
        return [
            Slot(
                id.strip(),
                found := self._STATES.get(state, RUNNING),
                self._reason(state, reason) if found is PENDING else "",
                node.replace("n/a", ""),
                duration(ran) if found is not PENDING else None,
                duration(left),
            )
            for id, state, node, ran, left, reason in rows
        ]

    def _reason(self, state: str, reason: str) -> str:
        if reason != "None":
            return reason
        return "" if state == "PENDING" else state.lower()

    def kill(self, slots: Iterable[str]) -> None:
        """Call scancel once."""
        call(["scancel", *slots])

    def cancel(self, slots: Iterable[str]) -> None:
        """Leave what has begun meanwhile."""
        call(["scancel", "--state=PENDING", *slots])


class GridEngine(BatchSystem):
    """qsub, qstat and qdel of Grid Engine; qstat -j shows environments to all."""

    name = "sge"
    submit_command = ("qsub", "-terse")

    def read_id(self, said: str) -> str:
        """Return the id, without the range of its indices."""
        return said.strip().splitlines()[-1].partition(".")[0]

    def list_slots(self, job_name: str) -> list[Slot]:
        """Ask qstat for each index, and then why some are pending."""
        slots = self.parse(call(["qstat", "-xml", "-g", "d"]), job_name)
        jobs = {slot.id.partition(".")[0] for slot in slots if slot.state is PENDING}
        if not jobs:
            return slots
        try:
            reason = self.parse_reason(call(["qstat", "-j", ",".join(sorted(jobs))]))
        except ServiceError:
            return slots  # they have begun or ended meanwhile
        return [
            Slot(each.id, each.state, each.reason or reason) if each.state is PENDING else each
            for each in slots
        ]

    def parse(self, said: str, job_name: str) -> list[Slot]:
        """Return the slots of an answer."""
        found = []
        for job in ElementTree.fromstring(said).iter("job_list"):  # noqa: S314 - it is of qstat
            text = {child.tag: child.text or "" for child in job}
            if text.get("JB_name") != job_name:
                continue
            state = text.get("state", "")
            kind = ENDING if "d" in state else RUNNING if state in ("r", "t", "Rr") else PENDING
            id = f"{text['JB_job_number']}.{text.get('tasks') or '1'}"
            reason = "error state" if "E" in state else "held" if "h" in state else ""
            host = text.get("queue_name", "").partition("@")[2]
            began = text.get("JAT_start_time")
            age = (
                (datetime.now() - datetime.fromisoformat(began)).total_seconds() if began else None
            )
            found.append(Slot(id, kind, reason, host, age))
        return found

    def parse_reason(self, said: str) -> str:
        """Return what the scheduler says of batch jobs that are pending."""
        for pattern in (r"^error reason\s+\d+:\s+(.+)", r"^scheduling info:\s+(.+)"):
            if found := re.search(pattern, said, re.MULTILINE):
                return found[1].strip()
        return ""

    def kill(self, slots: Iterable[str]) -> None:
        """Call qdel for each array."""
        for job, ids in groupby(sorted(slots), lambda id: id.partition(".")[0]):
            for id in ids:
                call(["qdel", job, "-t", id.partition(".")[2]])


class PBS(BatchSystem):
    """qsub, qstat and qdel of OpenPBS; qstat -f shows environments to all. Untried."""

    name = "pbs"
    submit_command = ("qsub",)
    _STATES = {"R": RUNNING, "E": ENDING}
    _ENDED = ("F", "X", "B")

    def read_id(self, said: str) -> str:
        """Return the id, without the name of the server."""
        return said.strip().partition(".")[0]

    def list_slots(self, job_name: str) -> list[Slot]:
        """Ask qstat for each index."""
        return self.parse(call(["qstat", "-t", "-f", "-F", "json"]), job_name)

    def parse(self, said: str, job_name: str) -> list[Slot]:
        """Return the slots of an answer; an array as such is none."""
        jobs: dict[str, Any] = json.loads(said or "{}").get("Jobs", {})
        found = []
        for id, job in jobs.items():
            if job.get("Job_Name") != job_name or job["job_state"] in self._ENDED:
                continue
            state = self._STATES.get(job["job_state"], PENDING)
            reason = job.get("comment", "") if state is PENDING else ""
            host = job.get("exec_host", "").partition("/")[0]
            ran = duration(job.get("resources_used", {}).get("walltime", ""))
            found.append(Slot(id.partition(".")[0], state, reason, host, ran))
        return found

    def kill(self, slots: Iterable[str]) -> None:
        """Call qdel once."""
        call(["qdel", *slots])


class LSF(BatchSystem):
    """bsub, bjobs and bkill. Untried."""

    name = "lsf"
    submit_command = ("bsub",)
    _STATES = {"PEND": PENDING, "PSUSP": PENDING, "RUN": RUNNING, "USUSP": RUNNING}
    _FIELDS = "jobid jobindex stat exec_host run_time pend_reason delimiter='|'"

    def read_id(self, said: str) -> str:
        """Return the id from the sentence that has it."""
        found = re.search(r"Job <(\d+)>", said)
        if found is None:
            raise ServiceError(f"bsub: {said.strip()}")
        return found[1]

    def list_slots(self, job_name: str) -> list[Slot]:
        """Ask bjobs for each index."""
        command = ["bjobs", "-noheader", "-J", f"{job_name}[*]", "-o", self._FIELDS]
        try:
            return self.parse(call(command))
        except ServiceError as error:
            if "is not found" in str(error):
                return []
            raise

    def parse(self, said: str) -> list[Slot]:
        """Return the slots of an answer. Raises ValueError for one that is none."""
        rows = [line.split("|", 5) for line in said.splitlines() if line.count("|") >= 5]
        if said.strip() and not rows:
            raise ValueError(f"{said[:80]!r} is no list of bjobs")
        return [
            Slot(
                f"{job}.{index}",
                self._STATES[state],
                reason.strip() if self._STATES[state] is PENDING and reason != "-" else "",
                host.replace("-", "", 1) if host == "-" else host.rpartition("*")[2],
                float(ran.split()[0]) if ran[:1].isdigit() else None,
            )
            for job, index, state, host, ran, reason in rows
            if state in self._STATES
        ]

    def kill(self, slots: Iterable[str]) -> None:
        """Call bkill once."""
        call(["bkill", *(re.sub(r"\.(\d+)$", r"[\1]", slot) for slot in slots)])


class HTCondor(BatchSystem):
    """condor_submit, condor_q and condor_rm; condor_q -l shows environments to all. Untried."""

    name = "htcondor"
    submit_command = ("condor_submit", "-terse", "-")
    # Held is pending, for a reason.
    _STATES = {1: PENDING, 2: RUNNING, 3: ENDING, 5: PENDING, 6: ENDING}
    _FIELDS = "ClusterId ProcId JobStatus RemoteHost HoldReason"

    def submit(self, request: ScriptRequest, env: Mapping[str, str]) -> str:
        """Write the program beside the description, which only names it."""
        program = Path(request.logs) / f"{request.job_name}.sh"
        program.write_text("#!/bin/bash -l\n" + body(request, '"$1"'))
        program.chmod(0o700)
        return super().submit(request, env)

    def read_id(self, said: str) -> str:
        """Return the id of the first that was submitted, without its index."""
        return said.strip().partition(".")[0]

    def list_slots(self, job_name: str) -> list[Slot]:
        """Ask condor_q."""
        chosen = ["-constraint", f'JobBatchName == "{job_name}"']
        return self.parse(call(["condor_q", "-json", *chosen, "-attributes", self._FIELDS]))

    def parse(self, said: str) -> list[Slot]:
        """Return the slots of an answer, which is empty where there are none."""
        return [
            Slot(
                f"{job['ClusterId']}.{job['ProcId']}",
                self._STATES[job["JobStatus"]],
                job.get("HoldReason", ""),
                job.get("RemoteHost", "").rpartition("@")[2],
            )
            for job in json.loads(said or "[]")
            if job["JobStatus"] in self._STATES
        ]

    def kill(self, slots: Iterable[str]) -> None:
        """Call condor_rm once."""
        call(["condor_rm", *slots])


SYSTEMS: dict[str, BatchSystem] = {
    system.name: system for system in (Slurm(), GridEngine(), PBS(), LSF(), HTCondor())
}


def duration(text: str) -> float | None:
    """Return the seconds of [DAYS-][[HOURS:]MINUTES:]SECONDS; None for what is no time."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", text.strip())
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
