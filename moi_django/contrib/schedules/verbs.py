"""`manage.py moi schedule`: what runs by the clock, and when; run one now, or let it pause.

What costs time to import is imported when it is needed.
"""

from datetime import datetime
from typing import Any

from moi_django.contrib.command_line.verb_base import Verb, write_json
from moi_django.exceptions import InvalidJob, JobNotFound


def _describe(parser: Any) -> None:
    """Show what runs by the clock, run one of it now, or let one pause."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--run", metavar="NAME", help="run this one now")
    what.add_argument("--pause", metavar="NAME", help="do not run this one any more")
    what.add_argument("--resume", metavar="NAME", help="run it again from its next time on")
    parser.add_argument("--json", action="store_true", help="write JSON")


def _run(command: Any, options: dict[str, Any]) -> None:
    """Do what the options say; raises UsageError for a name that nobody knows."""
    from moi_django.contrib.schedules import registry, runner

    try:
        registry.discover()
    except Exception as error:  # of the others one may want to know all the same
        command.stderr.write(f"Some scheduled functions cannot be imported: {error!r}")
    facts: Any
    if name := options["run"]:
        job = runner.run_now(registry.find(name))
        said, facts = f"Submitted job id: {job.id}", job.info.to_dict()
    elif name := options["pause"] or options["resume"]:
        paused = bool(options["pause"])
        is_changed = runner.set_paused(registry.find(name), paused)
        done, undone = ("paused", "was paused before") if paused else ("resumed", "was not paused")
        said = f"{name}: {done if is_changed else undone}"
        facts = _facts(name)
    else:
        facts = [_facts(name) for name in registry.names()]
        said = "\n".join(map(_line, facts)) or "There are no schedules."
    if options["json"]:
        write_json(command, facts)
    else:
        command.stdout.write(said)


def _facts(name: str) -> dict[str, Any]:
    """Return what there is to know of a schedule, or why it cannot run, fit for JSON."""
    from moi_django.contrib.schedules import registry

    try:
        return {"name": name, "error": None, **_facts_of(registry.find(name))}
    except InvalidJob as error:
        return {"name": name, "error": str(error)}


def _facts_of(schedule: Any) -> dict[str, Any]:
    from moi_django.contrib.schedules import runner

    name = schedule.name
    state, line = runner.get_states().read_all().get(name), schedule.line
    is_paused = bool(state and state.paused)
    following = None if is_paused else line.next(runner.server_time())
    last = _latest_job(state.jobs if state else ())
    return {
        "cron": line.text,
        "tz": line.zone,
        "owner": schedule.owner,
        "paused": is_paused,
        "next": None if following is None else line.local(following).isoformat(" "),
        "last": last and last.date_created,
        "last_job": last and last.id,
        "last_state": last and last.state,
    }


def _latest_job(ids: tuple[str, ...]) -> Any:
    """Return the info of the first job that there still is, or None."""
    from moi_django.jobs.api import Job

    for id in ids:
        try:
            return Job.get(id).info
        except JobNotFound:
            continue
    return None


def _line(facts: dict[str, Any]) -> str:
    """Return a schedule as a line of text."""
    if facts["error"]:
        return f"{facts['name']} : cannot run : {facts['error']}"
    last = "never ran"
    if facts["last"]:
        when = datetime.fromisoformat(facts["last"]).replace(microsecond=0)
        last = f"last {when} UTC {facts['last_state']} {facts['last_job']}"
    following = "paused" if facts["paused"] else f"next {facts['next'] or 'never'}"
    line = f"{facts['cron']} ({facts['tz']})"
    return f"{facts['name']} : {line} : {facts['owner']} : {following} : {last}"


VERBS = {"schedule": Verb(_describe, _run)}
