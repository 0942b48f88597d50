"""Jobs that are submitted and cancelled, and the schedule of what happens to them."""

import random
import time
from collections import Counter

from moi_django import Group, Job, Options, ctx_default, submit
from moi_django.exceptions import MoiError
from tests.chaos.site import BLOWS, Site


def work(ledger: str, number: int, seconds: float, fails: bool, status_update) -> int:
    """Be a job: note that it has begun, take some time, perhaps fail."""
    with open(ledger, "a") as file:
        file.write(f"{number}\n")
    for step in range(3):
        time.sleep(seconds / 3)
        status_update(f"step {step}")
    if fails:
        raise ValueError(f"job {number} fails")
    return number


class Load:
    """Submits jobs and cancels some of them."""

    def __init__(self, site: Site, users: list, choose: random.Random) -> None:
        self._site, self._choose = site, choose
        self._owners = [
            owner for user in users for owner in (user, Group.create(user, f"of {user}"))
        ]
        self.jobs: dict[int, Job] = {}
        self.refused: list[int] = []

    def submit(self, number: int) -> None:
        """Submit a job of some kind."""
        choose = self._choose
        options = Options()
        if choose.random() < 0.4:
            lost = choose.random() < 0.5
            options = Options(retries=choose.randint(1, 3), backoff=0.2, retry_on_lost=lost)
        arguments = (str(self._site.ledger), number, choose.uniform(0, 1.5), choose.random() < 0.2)
        owner = choose.choice(self._owners)
        try:
            self.jobs[number] = submit(
                ctx_default, owner, f"job {number}", None, work, *arguments, options=options
            )
        except MoiError:
            self.refused.append(number)

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

        self.blows = Counter()
        self._site, self._choose = site, choose
        self._events = [(when(), load.submit, (number,)) for number in range(jobs)]
        self._events += [(when(), load.cancel, ()) for _ in range(jobs // 10)]
        kinds = list(BLOWS)
        for number in range(max(len(BLOWS), int(seconds / 3))):
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

    def _strike(self, blow) -> None:
        self.blows[blow.__name__] += 1
        blow(self._site, self._choose)
