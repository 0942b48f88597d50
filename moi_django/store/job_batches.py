"""Change, remove and retry many jobs in few round trips.

Each job is still written as a whole or not at all. One that somebody else has written meanwhile is
done by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from moi_django.exceptions import JobNotFound
from moi_django.models import Info
from moi_django.store.connection import Connection
from moi_django.store.job_records import JobRecords, parse_info

# How many are written in one round trip, and how many retried, whose functions may be long.
BATCH_SIZE, RETRIED_AT_ONCE = 200, 20

T = TypeVar("T")
# Tells whether the rest is still wanted.
GoesOn = Callable[[], bool]


def always() -> bool:
    """Want all of it."""
    return True


class JobBatches:
    """Writes to many info objects."""

    def __init__(self, connection: Connection, jobs: JobRecords) -> None:
        self._connection, self._jobs = connection, jobs

    def change(
        self, infos: Sequence[Info], change: Callable[[Info], Info | None], goes_on: GoesOn = always
    ) -> list[Info]:
        """Do with each what `JobRecords.change` does; return those that were changed, as before."""
        changed: list[Info] = []
        for chunk in _chunks(infos, goes_on):
            pairs = [(old, new) for old in chunk if (new := change(old)) is not None]
            calls = [self._jobs.replacement(old.to_json().encode(), old, new) for old, new in pairs]
            answers, settles = self._connection.run_scripts(calls), False
            for (old, new), answer in zip(pairs, answers, strict=True):
                # Once for all of them.
                settles = settles or answer == 2
                is_done = answer == 2 or self._jobs.is_written(answer, new)
                if is_done or self._change_alone(old, change):
                    changed.append(old)
            if settles:
                self._jobs.settle()
        return changed

    def _change_alone(self, old: Info, change: Callable[[Info], Info | None]) -> bool:
        made: list[Info | None] = []

        def note(info: Info) -> Info | None:
            made.append(change(info))
            return made[-1]

        try:
            present = self._jobs.change(old.id, note)
        except JobNotFound:
            return False  # somebody has removed it meanwhile
        return bool(made) and present is made[-1]

    def remove(self, ids: Sequence[str], goes_on: GoesOn = always) -> list[Info]:
        """Remove jobs, and groups with nothing in them, in this order; return what was removed."""
        removed: list[Info] = []
        for chunk in _chunks(ids, goes_on):
            raws = self._jobs.get_raw_many(chunk)
            found = [(raw, parse_info(raw, id)) for raw, id in zip(raws, chunk, strict=True)]
            pairs = [(raw, info) for raw, info in found if raw is not None and info is not None]
            answers = self._connection.run_scripts([self._jobs.removal(*pair) for pair in pairs])
            for (_, info), answer in zip(pairs, answers, strict=True):
                if answer in (1, 2):
                    removed.append(info)
                elif answer != 0 and (alone := self._jobs.remove_if_empty(info.id)):
                    removed.append(alone)
            if 2 in answers:
                self._jobs.settle()
        return removed

    def create_instead(self, retries: Sequence[tuple[Info, Info, bytes]]) -> list[bool]:
        """Create jobs that run instead of others, which then say so: (other, job, its payload).

        Tells of each whether that was done: not when the other one has changed meanwhile. Workers
        are left to call.
        """
        calls = []
        for old, info, payload in retries:
            marked = old.changed(retried=info.id)
            calls += [
                self._jobs.replacement(old.to_json().encode(), old, marked),
                self._jobs.creation(info, payload, instead_of=marked),
            ]
        answers = self._connection.run_at_once(calls)[1::2] if calls else []
        if b"settle" in answers:
            self._jobs.settle()
        return [answer in (b"done", b"call", b"taken", b"settle") for answer in answers]


def _chunks(items: Sequence[T], goes_on: GoesOn) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BATCH_SIZE):
        if not goes_on():
            return
        yield items[start : start + BATCH_SIZE]
