"""`python -m tests.chaos [--seed N] [--jobs N] [--sockets N] [--seconds S]`

Engines, their fork servers and the processes of jobs, controllers, web servers, reconcilers and
Redis are killed as by `kill -9`; engines, fork servers, jobs and Redis are frozen for a while;
connections to Redis are cut, its clock is set and a replica takes its place; while jobs are
submitted, fail, are run again, leave daemons and are cancelled, and pages watch. At the end every
job has one, every page shows what Redis holds, nothing has run more often than it asked for, only
what had begun on an engine that was hit is lost, what failed says why, and no key and no process
is left over.
"""

import argparse
import logging
import os
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import django

from tests.helpers.clocks import can_jump

USERS = 4


def run(given: argparse.Namespace, directory: Path, log: Path) -> None:
    """Do all of it and print the figures."""
    from django.core.management import call_command

    from tests.chaos import checks
    from tests.chaos.load import Load, Schedule
    from tests.chaos.pages import watching
    from tests.chaos.site import Site
    from tests.helpers.processes import free_port

    call_command("migrate", verbosity=0)
    with Site(directory, free_port(), log) as site:
        users, pages = visitors(given.sockets, site.address)
        with watching(pages):
            load = Load(site, users, random.Random(given.seed))
            schedule = Schedule(site, load, given.jobs, given.seconds, given.seed)
            schedule.run()
            rest = checks.rest(site, load)
            runs = checks.runs(site, load)
            lost = checks.losses(site, load)
            known = checks.failures(site, load)
            shown = checks.pages(pages)
            told = checks.told(load)
        checks.keys(load)
    checks.processes(directory)
    report(given, schedule, load)
    print(f"runs     {runs}, none that was not asked for")
    print(f"lost     {lost}, each with an engine that was hit")
    print(f"killed   {len(known)} in their processes, which was known after {worst(known)}")
    print(f"rest     every job had its end {rest:.1f} s after the last blow")
    print(f"history  had all of them after {told:.1f} s")
    print(f"pages    {len(pages)} equalled Redis {shown:.1f} s after that,")
    print(f"         having taken {sum(page.snapshots for page in pages)} snapshots")


def visitors(sockets: int, address: str) -> tuple[list[Any], list[Any]]:
    """Return users, and pages that they have open."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    from moi_django import owners
    from tests.chaos.pages import Page

    users = [get_user_model().objects.create_user(f"user{n}") for n in range(USERS)]
    pages = []
    for number in range(sockets):
        user, client = users[number % USERS], Client()
        client.force_login(user)
        pages.append(Page(address, client.cookies["sessionid"].value, owners.group_id_of(user)))
    return users, pages


def report(given: argparse.Namespace, schedule: Any, load: Any) -> None:
    """Print what was done."""
    states = Counter(str(job.state) for job in load.jobs.values())
    print(
        f"blows    {sum(schedule.blows.values())} in {given.seconds:g} s: {listed(schedule.blows)};"
    )
    print(f"         {schedule.missed} more found nothing to hit")
    print(f"jobs     {len(load.jobs)} submitted, {len(load.refused)} refused")
    print(f"ends     {listed(states)}")


def worst(seconds: list[float]) -> str:
    """Return the longest of some times as text."""
    return f"{max(seconds):.1f} s at most" if seconds else "no time"


def listed(counts: Counter) -> str:
    """Return counts as text."""
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in sorted(counts.items()))


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__.split("\n\n")[1])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--sockets", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument(
        "--log", type=Path, help="keep here what programs say, and what was done when"
    )
    given = parser.parse_args()
    print(f"seed     {given.seed}", flush=True)
    if not can_jump():
        print("clock    not set: there is no libfaketime, `pip install libfaketime`")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        os.environ.update(DJANGO_SETTINGS_MODULE="tests.settings", MOI_TEST_DIR=directory)
        django.setup()
        log = given.log or Path(directory) / "log"
        logging.basicConfig(filename=log, format="%(asctime)s %(message)s", level=logging.INFO)
        run(given, Path(directory), log)


if __name__ == "__main__":
    main()
