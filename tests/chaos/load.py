"""Jobs that are submitted and cancelled, and the schedule of what happens to them."""

import logging
import random
import time
from collections import Counter
from dataclasses import replace

from moi_django import Group, Job, Options, ctx_default, submit
from moi_django.exceptions import MoiError
from tests.chaos.jobs import work
from tests.chaos.site import Site

logger = logging.getLogger(__name__)


class Load:
    """Submits jobs and cancels some of them."""

    def __init__(self, site: Site, users: list, choose: random.Random) -> None:
        self._site, self._choose = site, choose
        self._owners = [
            owner for user in users for owner in (user, Group.create(user, f"of {user}"))
        ]
        self.jobs: dict[int, Job] = {}
        # How many attempts they asked for: one may be there, though `submit` has raised.
        self.refused: dict[int, int] = {}

    def submit(self, number: int) -> None:
        """Submit a job of some kind."""
        choose = self._choose
        options = Options()
        if choose.random() < 0.4:
            lost = choose.random() < 0.5
            options = Options(retries=choose.randint(1, 3), backoff=0.2, retry_on_lost=lost)
        fails, leaves = choose.random() < 0.2, choose.random() < 0.1
        if self.jobs and choose.random() < 0.3:
            recent = choose.choice(list(self.jobs.values())[-10:])
            options = replace(options, after=[recent], on_failure=choose.choice(["skip", "run"]))
        arguments = (str(self._site.ledger), number, choose.uniform(0, 1.2), fails, leaves)
        owner = choose.choice(self._owners)
        try:
            self.jobs[number] = submit(
                ctx_default, owner, f"job {number}", None, work, *arguments, options=options
            )
        except MoiError:
            self.refused[number] = options.attempts

    def cancel(self) -> None:
        """Cancel a job that was submitted a short while ago."""
        recent = list(self.jobs.values())[-10:]
        if recent:
            try:
                self._choose.choice(recent).cancel()
            except MoiError:
                return


class Schedule:
    """What happens when, all of it from one seed."""

    def __init__(self, site: Site, load: Load, jobs: int, seconds: float, seed: int) -> None:
        choose = random.Random(seed)

        def when() -> float:
            return choose.uniform(0, seconds)

        self.blows, self.missed = Counter({blow.__name__: 0 for blow in site.blows()}), 0
        self._site, self._choose = site, choose
        self._events = [(when(), load.submit, (number,)) for number in range(jobs)]
        self._events += [(when(), load.cancel, ()) for _ in range(jobs // 10)]
        kinds = site.blows()
        for number in range(max(len(kinds), int(seconds / 2))):
            if number % len(kinds) == 0:
                choose.shuffle(kinds)
            at, blow = when(), kinds[number % len(kinds)]
            self._events.append((at, self._strike, (blow,)))
            if blow is Site.kill_redis:
                self._events.append((at + choose.uniform(0, 3), site.revive_redis, ()))
        self._events.sort(key=lambda event: event[0])

    def run(self) -> None:
        """Let it happen."""
        begun = time.monotonic()
        for at, operation, arguments in self._events:
            time.sleep(max(0.0, begun + at - time.monotonic()))
            operation(*arguments)
            self._site.keep_running()
        logger.info("the last blow")
        self._site.calm()

    def _strike(self, blow) -> None:
        logger.info("blow: %s", blow.__name__)
        if blow(self._site, self._choose) is False:
            self.missed += 1
        else:
            self.blows[blow.__name__] += 1
