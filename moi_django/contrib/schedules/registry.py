"""Which schedules there are: those of the settings, and functions that were decorated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from django.utils.module_loading import autodiscover_modules, import_string
from django.utils.timezone import get_default_timezone_name

from moi_django.conf import DEFAULT_CONTEXT, conf
from moi_django.contrib.schedules.cron_line import CronLine
from moi_django.exceptions import InvalidJob, UsageError
from moi_django.options import Options

F = TypeVar("F", bound=Callable[..., Any])
# What becomes of ticks that nobody saw: the latest one runs late, or none does.
RUN, SKIP = "run", "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A function that is to run by the clock; the fields are those of an entry of the settings."""

    name: str
    # The function, or its dotted path.
    func: Callable[..., Any] | str
    cron: str
    # Name of the time zone; None for that of the site.
    tz: str | None = None
    # Whose the jobs are, as `submit` has it.
    owner: str = ""
    context: str = DEFAULT_CONTEXT
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Options | Mapping[str, Any] = field(default_factory=Options)
    missed: str = RUN
    # Let a run begin while the former one is not finished.
    overlap: bool = False

    @property
    def zone(self) -> str:
        """Name of the time zone."""
        return get_default_timezone_name() if self.tz is None else self.tz

    @property
    def line(self) -> CronLine:
        """When it is to run. Raises InvalidJob or CronMissing."""
        return CronLine(self.cron, self.zone)

    def require_owner(self) -> None:
        """Raise InvalidJob when nobody is said to own the jobs."""
        if not isinstance(self.owner, str) or not self.owner.strip():
            raise InvalidJob(
                f"The schedule {self.name!r} needs an owner, by name, whose its jobs are: "
                "owner='reports'."
            )

    def load_function(self) -> Callable[..., Any]:
        """Return the function. Raises InvalidJob when it cannot be imported or called."""
        try:
            func = import_string(self.func) if isinstance(self.func, str) else self.func
        except ImportError as error:
            raise InvalidJob(
                f"The function {self.func!r} of the schedule {self.name!r} cannot be imported: "
                f"{error}."
            ) from error
        if not callable(func):
            raise InvalidJob(f"{self.func!r} of the schedule {self.name!r} cannot be called.")
        return func

    def load_options(self) -> Options:
        """Return how a job is to be run. Raises InvalidJob."""
        try:
            return self.options if isinstance(self.options, Options) else Options(**self.options)
        except (TypeError, InvalidJob) as error:
            raise InvalidJob(f"The options of the schedule {self.name!r}: {error}") from error

    def require_sense(self) -> None:
        """Raise InvalidJob when one of the smaller things makes no sense."""
        if self.missed not in (RUN, SKIP):
            raise InvalidJob(f"missed of {self.name!r} is {self.missed!r}: give 'run' or 'skip'.")
        if self.context not in conf.CONTEXTS:
            raise InvalidJob(
                f"The context of {self.name!r} is {self.context!r}, of which "
                'MOI["CONTEXTS"] knows nothing.'
            )
        if not isinstance(self.args, (list, tuple)) or not isinstance(self.kwargs, Mapping):
            raise InvalidJob(f"{self.name!r} takes a tuple as args and a dict as kwargs.")
        self.load_options()

    @classmethod
    def from_entry(cls, name: str, entry: Any) -> "Schedule":
        """Return what an entry of the settings says. Raises InvalidJob when it cannot be read."""
        known = {each.name for each in fields(cls)} - {"name"}
        if not isinstance(name, str):
            raise InvalidJob(f"{name!r} is no name for a schedule: give some text.")
        if not isinstance(entry, Mapping) or not {"func", "cron"} <= set(entry):
            raise InvalidJob(
                f"The schedule {name!r} does not say what is to run, when and whose it is: "
                "give func, cron and owner."
            )
        if unknown := set(entry) - known:
            raise InvalidJob(
                f"The schedule {name!r} has {', '.join(sorted(map(repr, unknown)))}: "
                f"there are {', '.join(sorted(known))}."
            )
        return cls(name=name, **entry)


_decorated: dict[str, Schedule] = {}


def scheduled(
    cron: str, *, owner: str = "", name: str | None = None, **entry: Any
) -> Callable[[F], F]:
    """Let a function of a module `jobs` of an installed app run by the clock.

    `owner` is required. `name` is the dotted path of the function unless it is given. The other
    keywords are those of an entry of MOI["SCHEDULE"]; an entry of the same name takes its place.
    Raises InvalidJob.
    """

    def register(func: F) -> F:
        called = name or f"{func.__module__}.{func.__qualname__}"
        schedule = Schedule.from_entry(
            called, {**entry, "func": func, "cron": cron, "owner": owner}
        )
        schedule.require_owner()
        before = _decorated.get(called)
        if before is not None and _place(before.func) != _place(func):
            raise InvalidJob(f"{_place(before.func)} and {_place(func)} are both called {called!r}")
        _decorated[called] = schedule
        return func

    return register


def _place(func: Any) -> str:
    return f"{func.__module__}.{func.__qualname__}"


def discover() -> None:
    """Import the modules `jobs` of the installed apps, in which functions are decorated."""
    autodiscover_modules("jobs")


def _entries() -> dict[str, dict[str, Any]]:
    """Return those of the settings; of what is no dict the checks complain."""
    return conf.SCHEDULE if isinstance(conf.SCHEDULE, dict) else {}


def names() -> list[str]:
    """Return the names of all schedules that are known."""
    return sorted({*_decorated, *_entries()}, key=str)


def find(name: str) -> Schedule:
    """Return a schedule. Raises UsageError when there is none, InvalidJob for a wrong entry."""
    if name in _entries():
        return Schedule.from_entry(name, _entries()[name])
    if name not in _decorated:
        there = f"There are: {', '.join(names())}." if names() else "There are none."
        raise UsageError(f"There is no schedule {name!r}. {there}")
    return _decorated[name]
